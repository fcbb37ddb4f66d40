// Shared by the tests of the QStash dialect: the official client, its signature
// verifier, and destinations that record requests.

import { Client, Receiver, SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { environment, waitUntil } from "./common.mjs";

export { waitUntil };

const baseUrl = environment("QSTASH_URL");
const token = environment("QSTASH_TOKEN");
export const client = new Client({ baseUrl, token, enableTelemetry: true });
// Another tenant, for calls that would disturb other tests.
export const other = new Client({
  baseUrl,
  token: environment("QSTASH_OTHER_TOKEN"),
});
export const receiver = new Receiver({
  currentSigningKey: environment("QSTASH_CURRENT_SIGNING_KEY"),
  nextSigningKey: environment("QSTASH_NEXT_SIGNING_KEY"),
});

// How many tests of a file run at a time; each file starts with its slow tests.
export const CONCURRENT = { concurrency: 10 };
// Nothing listens at this address.
export const DEAD_END = "http://127.0.0.1:1/dead-end";
// Servers and these tests may round times to milliseconds.
export const ROUNDING_MS = 2;

/** Sends a request that the client has no method for. */
export async function request(method, path, { headers, body } = {}) {
  const answer = await fetch(baseUrl + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : undefined };
}

/** Asserts that a call fails with this status, and with an error that matches. */
export async function rejects(call, status, pattern) {
  const err = await call.then(
    (answer) => assert.fail(`succeeded: ${JSON.stringify(answer)}`),
    (err) => err,
  );
  assert.equal(err.status, status, err);
  const { error } = JSON.parse(err.message);
  assert.match(error, pattern);
}

/** Waits for a log entry of this state; returns all of the message, oldest first. */
export function waitForLogs(messageId, state) {
  return waitUntil(async () => {
    const { logs } = await client.logs({ messageIds: [messageId] });
    return logs.some((entry) => entry.state === state) && logs.reverse();
  });
}

export const statesOf = (entries) => entries.map(({ state }) => state);
export const idsOf = (answers) => answers.map(({ messageId }) => messageId);
export const decode = (encoded) => Buffer.from(encoded, "base64").toString();

/** Asserts that a request has a valid signature. */
export async function assertSigned({ url, headers, raw }, by = receiver) {
  const signature = headers["upstash-signature"];
  assert.equal(await by.verify({ signature, body: raw.toString(), url }), true);
}

/** Whether the signature of a request is valid for this pair of keys. */
export async function isValidFor(arrival, { current, next }) {
  const by = new Receiver({ currentSigningKey: current, nextSigningKey: next });
  try {
    await assertSigned(arrival, by);
    return true;
  } catch (err) {
    if (err instanceof SignatureError) return false;
    throw err;
  }
}

const destinations = new Map();
const server = createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const { method, url: target, headers } = req;
  const destination = destinations.get(target.split(/[/?]/)[1]);
  const raw = Buffer.concat(chunks);
  const url = `http://${headers.host}${target}`;
  destination.arrivals.push({ at: Date.now(), method, url, headers, raw });
  const [status, answerHeaders, body] = destination.answers[0];
  if (destination.answers.length > 1) destination.answers.shift();
  res.writeHead(status, answerHeaders).end(body);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/**
 * A new destination that sends each answer once and repeats the last one.
 *
 * @param {{answers?: [number, object?, any?][], suffix?: string}} options `suffix` is
 *   appended to the URL.
 */
export function newDestination({ answers = [[200]], suffix = "" } = {}) {
  const id = randomUUID();
  const url = `http://127.0.0.1:${server.address().port}/${id}${suffix}`;
  const destination = { url, answers: [...answers], arrivals: [] };
  destinations.set(id, destination);
  return destination;
}

/** Waits for this many arrivals at a destination; returns all of them. */
export function waitForArrivals({ arrivals }, count = 1, options) {
  return waitUntil(() => arrivals.length >= count && [...arrivals], options);
}
