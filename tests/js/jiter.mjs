// Shared by the tests of the Jiter dialect: the official client, and receivers that use
// its middleware.

import jiterPackage from "@jiter/node";
import axios from "axios";
import express from "express";
import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { once } from "node:events";
import { after } from "node:test";
import { environment, waitUntil } from "./common.mjs";

export { waitUntil };

export const Jiter = jiterPackage.default;
export const { EventStatus } = jiterPackage;
export const signingSecret = environment("JITER_SIGNING_SECRET");
export const foreignApiKey = environment("JITER_FOREIGN_API_KEY");

const apiKey = environment("JITER_API_KEY");
const baseURL = environment("JITER_URL");

export const EVENT_KEYS = [
  "createdAt",
  "destination",
  "id",
  "org",
  "payload",
  "scheduledTime",
  "status",
  "updatedAt",
];
// How many tests of a file run at a time; each file starts with its slow tests.
export const CONCURRENT = { concurrency: 10 };
export const DAY_MS = 86_400_000;
export const MIB = 2 ** 20;
export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
// Nothing listens at this address.
export const DEAD_END = "http://127.0.0.1:1/dead-end";

Jiter.init({ apiKey, signingSecret, baseUrl: baseURL });

/** An error response. Unlike axios's error, it prints without internals. */
export class ErrorResponse extends Error {
  constructor(err) {
    super(`${err.message}: ${JSON.stringify(err.response?.data)}`);
    this.status = err.response?.status;
    this.body = err.response?.data;
  }
}

async function briefErrors(answer) {
  try {
    return await answer;
  } catch (err) {
    throw new ErrorResponse(err);
  }
}

const wrap =
  (call) =>
  (...args) =>
    briefErrors(call(...args));

export const createEvent = wrap(Jiter.Events.createEvent);
export const getEvent = wrap(Jiter.Events.getEvent);
export const getManyEvents = wrap(Jiter.Events.getManyEvents);
export const editEvent = wrap(Jiter.Events.editEvent);
export const createCronJob = wrap(Jiter.CronJobs.createCronJob);
export const getCronJob = wrap(Jiter.CronJobs.getCronJob);
export const getManyCronJobs = wrap(Jiter.CronJobs.getManyCronJobs);
export const editCronJob = wrap(Jiter.CronJobs.editCronJob);

/** Sends a request that the client has no method for; `key: null` sends no API key. */
export function request(method, url, { data, headers, key = apiKey } = {}) {
  const config = { baseURL, method, url, data, timeout: 20_000 };
  const auth = key === null ? {} : { "x-api-key": key };
  return briefErrors(axios({ ...config, headers: { ...auth, ...headers } }));
}

/** Asserts that a call fails with exactly this status and message. */
export async function rejects(call, status, message) {
  const err = await call.then(
    (answer) => assert.fail(`succeeded: ${JSON.stringify(answer.data ?? answer)}`),
    (err) => err,
  );
  if (!err.status) throw err;
  assert.deepEqual([err.status, err.body], [status, { message }]);
}

/** Waits until an event is neither pending nor queued; returns it with its history. */
export function waitForEnd(id, options) {
  return waitUntil(async () => {
    const event = await getEvent({ id });
    return event.status !== "Pending" && event.status !== "Queued" && event;
  }, options);
}

/** A time far enough ahead that a busy server still accepts it. */
export function soon(afterMs = 3_000) {
  return new Date(Date.now() + afterMs).toISOString();
}

export function later(iso, byMs) {
  return new Date(Date.parse(iso) + byMs).toISOString();
}

export function tomorrow() {
  return soon(DAY_MS);
}

export const keysOf = (object) => Object.keys(object).sort();
export const idsOf = (objects) => objects.map(({ id }) => id);

/** A function that calls `make` once and always returns the same promise. */
export function memoize(make) {
  let promise;
  return () => (promise ??= make());
}

/** Asserts that the request in a history record is signed; returns the request. */
export function assertSigned({ requestData }) {
  const { headers, body } = JSON.parse(requestData);
  const requestTimestamp = headers["X-Jiter-Request-Timestamp"];
  assert.equal(typeof requestTimestamp, "number");
  assert.equal(headers["Content-Type"], "application/json");
  assert.deepEqual(Object.keys(body), ["payload", "scheduledTime"]);
  const signature = headers["X-Jiter-Signature"];
  assert.ok(Jiter.Utils.signatureIsValid({ signature, requestTimestamp, body }));
  return { headers, body };
}

const receivers = new Map();
const app = express();

app.post("/:id", express.json({ verify: recordRequest }), tamper, (req, res, next) =>
  receivers.get(req.params.id).handler(req, res, next),
);
const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/**
 * A new destination that uses `webhookHandler`.
 *
 * `requests` lists all requests, `events` those that the middleware accepted. The
 * payload of the first `tampered` requests is changed before the middleware sees it.
 * With `redirect`, the destination answers with a redirection to that URL.
 */
export function newReceiver({ tampered = 0, redirect, ...options } = {}) {
  const id = randomUUID();
  const url = `http://127.0.0.1:${server.address().port}/${id}`;
  const receiver = { url, requests: [], events: [], tampered };
  const record = ({ payload, scheduledTime }) =>
    receiver.events.push({ payload, scheduledTime });
  receiver.handler = redirect
    ? (_, res) => res.redirect(307, redirect)
    : Jiter.Middleware.webhookHandler(record, options);
  receivers.set(id, receiver);
  return receiver;
}

function recordRequest(req, _, raw) {
  const { headers } = req;
  const at = { ms: performance.now(), date: new Date() };
  receivers.get(req.params.id).requests.push({ at, headers, raw: raw.toString() });
}

function tamper(req, _, next) {
  const receiver = receivers.get(req.params.id);
  if (receiver.requests.length <= receiver.tampered) req.body.payload += "!";
  next();
}

// One event for each state, shared by the tests of a file that only read it.

export const pending = memoize(() => create());
export const sent = memoize(async () => {
  const { url } = newReceiver();
  return waitForEnd((await create({ scheduledTime: soon(), destination: url })).id);
});
export const cancelled = memoize(async () => {
  return editEvent({ id: (await create()).id, status: EventStatus.Cancelled });
});
export const failing = memoize(() => create({ scheduledTime: soon() }));
export const failed = memoize(async () => {
  return waitForEnd((await failing()).id, { withinMs: 50_000 });
});

/** Creates an event with a unique time. */
export function create(fields) {
  const scheduledTime = uniqueTime();
  return createEvent({ payload: "x", destination: DEAD_END, scheduledTime, ...fields });
}

// Later than the events that tests deliver, and at most a year ahead.
const firstUniqueMs = Date.now() + DAY_MS + randomInt(364 * DAY_MS);
let uniqueTimes = 0;

/** A time that no other event has, to find the event in lists. */
export function uniqueTime() {
  return new Date(firstUniqueMs + 1_000 * (uniqueTimes += 1)).toISOString();
}

export function listedAt(time) {
  return getManyEvents({ scheduledStartDate: time, scheduledEndDate: time });
}
