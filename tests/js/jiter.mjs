// What the tests of the Jiter dialect share: the official client, and receivers that
// stand behind its own middleware.

import jiterPackage from "@jiter/node";
import axios from "axios";
import express from "express";
import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { once } from "node:events";
import { after } from "node:test";
import { environment, until } from "./every.mjs";

export { until };

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
// Tests of one file that run at a time; those that take long come first.
export const CONCURRENTLY = { concurrency: 10 };
export const DAY_MS = 86_400_000;
export const MIB = 2 ** 20;
export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
// Nothing listens there.
export const DEAD_END = "http://127.0.0.1:1/dead-end";

Jiter.init({ apiKey, signingSecret, baseUrl: baseURL });

/** An answer that is no success; axios would show whole sockets. */
export class Refusal extends Error {
  constructor(err) {
    super(`${err.message}: ${JSON.stringify(err.response?.data)}`);
    this.status = err.response?.status;
    this.body = err.response?.data;
  }
}

async function brief(answer) {
  try {
    return await answer;
  } catch (err) {
    throw new Refusal(err);
  }
}

const official =
  (call) =>
  (...words) =>
    brief(call(...words));

export const createEvent = official(Jiter.Events.createEvent);
export const getEvent = official(Jiter.Events.getEvent);
export const getManyEvents = official(Jiter.Events.getManyEvents);
export const editEvent = official(Jiter.Events.editEvent);
export const createCronJob = official(Jiter.CronJobs.createCronJob);
export const getCronJob = official(Jiter.CronJobs.getCronJob);
export const getManyCronJobs = official(Jiter.CronJobs.getManyCronJobs);
export const editCronJob = official(Jiter.CronJobs.editCronJob);

/** A request that the client has no method for; with `key: null` it names none. */
export function request(method, url, { data, headers, key = apiKey } = {}) {
  const config = { baseURL, method, url, data, timeout: 5_000 };
  const named = key === null ? {} : { "x-api-key": key };
  return brief(axios({ ...config, headers: { ...named, ...headers } }));
}

/** Holds that a call is answered with this status, and this message and nothing else. */
export async function refused(call, status, message) {
  const refusal = await call.then(
    (answer) => assert.fail(`was answered: ${JSON.stringify(answer.data ?? answer)}`),
    (err) => err,
  );
  if (!refusal.status) throw refusal;
  assert.deepEqual([refusal.status, refusal.body], [status, { message }]);
}

/** Waits until an event is neither pending nor queued; with its history. */
export function ended(id, options) {
  return until(async () => {
    const event = await getEvent({ id });
    return event.status !== "Pending" && event.status !== "Queued" && event;
  }, options);
}

/** A time that is still ahead when a busy server reads it. */
export function soon(afterMs = 3_000) {
  return new Date(Date.now() + afterMs).toISOString();
}

export function later(iso, byMs) {
  return new Date(Date.parse(iso) + byMs).toISOString();
}

export function tomorrow() {
  return soon(DAY_MS);
}

export const keysOf = (shown) => Object.keys(shown).sort();
export const idsOf = (shown) => shown.map(({ id }) => id);

/** The same promise for everybody who asks. */
export function shared(make) {
  let promise;
  return () => (promise ??= make());
}

/** Holds that a history record shows a request whose signature fits its own body. */
export function verify({ requestData }) {
  const { headers, body } = JSON.parse(requestData);
  const requestTimestamp = headers["X-Jiter-Request-Timestamp"];
  assert.equal(typeof requestTimestamp, "number");
  assert.equal(headers["Content-Type"], "application/json");
  assert.deepEqual(Object.keys(body), ["payload", "scheduledTime"]);
  const signature = headers["X-Jiter-Signature"];
  assert.ok(Jiter.Utils.signatureIsValid({ signature, requestTimestamp, body }));
  return { headers, body };
}

const spots = new Map();
const app = express();

app.post("/:spot", express.json({ verify: noteRequest }), tamper, (req, res, next) =>
  spots.get(req.params.spot).handler(req, res, next),
);
const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/**
 * A destination of its own behind `webhookHandler`.
 *
 * `requests` holds all that arrived, `events` those that the middleware let through.
 * The payload of the first `tampered` requests is changed on its way to the middleware;
 * `redirect` answers with a redirection instead.
 */
export function receiver({ tampered = 0, redirect, ...options } = {}) {
  const id = randomUUID();
  const url = `http://127.0.0.1:${server.address().port}/${id}`;
  const spot = { url, requests: [], events: [], tampered };
  const take = ({ payload, scheduledTime }) =>
    spot.events.push({ payload, scheduledTime });
  spot.handler = redirect
    ? (_, res) => res.redirect(307, redirect)
    : Jiter.Middleware.webhookHandler(take, options);
  spots.set(id, spot);
  return spot;
}

function noteRequest(req, _, raw) {
  const { headers } = req;
  const at = { ms: performance.now(), date: new Date() };
  spots.get(req.params.spot).requests.push({ at, headers, raw: raw.toString() });
}

function tamper(req, _, next) {
  const spot = spots.get(req.params.spot);
  if (spot.requests.length <= spot.tampered) req.body.payload += "!";
  next();
}

// One event per process and state, for all tests that only look at it.

export const pending = shared(() => create());
export const sent = shared(async () => {
  const { url } = receiver();
  return ended((await create({ scheduledTime: soon(), destination: url })).id);
});
export const cancelled = shared(async () => {
  return editEvent({ id: (await create()).id, status: EventStatus.Cancelled });
});
export const failing = shared(() => create({ scheduledTime: soon() }));
export const failed = shared(async () => {
  return ended((await failing()).id, { withinMs: 50_000 });
});

/** An event that nobody else will look at, with a time of its own. */
export function create(words) {
  const scheduledTime = ownTime();
  return createEvent({ payload: "x", destination: DEAD_END, scheduledTime, ...words });
}

// Within a year, so that it is ahead of everything in a list but what tests put beyond.
const firstOwnMs = Date.now() + DAY_MS + randomInt(364 * DAY_MS);
let ownTimes = 0;

/** A time that no other event has, so that a list can tell its event apart. */
export function ownTime() {
  return new Date(firstOwnMs + 1_000 * (ownTimes += 1)).toISOString();
}

export function listedAt(time) {
  return getManyEvents({ scheduledStartDate: time, scheduledEndDate: time });
}
