// What the tests of the QStash dialect share: the official client, its receiver, and
// destinations that note what arrives.

import { Client, Receiver, SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { environment, until } from "./every.mjs";

export { until };

const baseUrl = environment("QSTASH_URL");
const token = environment("QSTASH_TOKEN");
export const client = new Client({ baseUrl, token, enableTelemetry: true });
// Another tenant, for what would disturb the other tests.
export const other = new Client({
  baseUrl,
  token: environment("QSTASH_OTHER_TOKEN"),
});
export const receiver = new Receiver({
  currentSigningKey: environment("QSTASH_CURRENT_SIGNING_KEY"),
  nextSigningKey: environment("QSTASH_NEXT_SIGNING_KEY"),
});

// Tests of one file that run at a time; those that take long come first.
export const CONCURRENTLY = { concurrency: 10 };
// Nothing listens there.
export const DEAD_END = "http://127.0.0.1:1/dead-end";
// A server may round to milliseconds, and so do the clocks here.
export const ROUNDING_MS = 2;

/** A request that the client has no method for. */
export async function request(method, path, { headers, body } = {}) {
  const answer = await fetch(baseUrl + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : undefined };
}

/** Holds that a call is answered with this status, and an error like this. */
export async function refused(call, status, words) {
  const refusal = await call.then(
    (answer) => assert.fail(`was answered: ${JSON.stringify(answer)}`),
    (err) => err,
  );
  assert.equal(refusal.status, status, refusal);
  const { error } = JSON.parse(refusal.message);
  assert.match(error, words);
}

/** The entries of a message, oldest first, once there is one of that state. */
export function logged(messageId, state) {
  return until(async () => {
    const { logs } = await client.logs({ messageIds: [messageId] });
    return logs.some((entry) => entry.state === state) && logs.reverse();
  });
}

export const statesOf = (entries) => entries.map(({ state }) => state);
export const idsOf = (answers) => answers.map(({ messageId }) => messageId);
export const text = (encoded) => Buffer.from(encoded, "base64").toString();

/** Holds that a destination can tell who sent it a request. */
export async function verify({ url, headers, raw }, by = receiver) {
  const signature = headers["upstash-signature"];
  assert.equal(await by.verify({ signature, body: raw.toString(), url }), true);
}

/** Whether a destination with this pair of keys takes a request. */
export async function isTaken(arrival, { current, next }) {
  const by = new Receiver({ currentSigningKey: current, nextSigningKey: next });
  try {
    await verify(arrival, by);
    return true;
  } catch (err) {
    if (err instanceof SignatureError) return false;
    throw err;
  }
}

const spots = new Map();
const server = createServer(async (req, res) => {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const { method, url: target, headers } = req;
  const spot = spots.get(target.split(/[/?]/)[1]);
  const raw = Buffer.concat(chunks);
  const url = `http://${headers.host}${target}`;
  spot.arrivals.push({ at: Date.now(), method, url, headers, raw });
  const [status, named, body] = spot.answers[0];
  if (spot.answers.length > 1) spot.answers.shift();
  res.writeHead(status, named).end(body);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/**
 * A destination of its own; each answer is given once, the last for ever.
 *
 * @param {{answers?: [number, object?, any?][], under?: string}} words `under` is what
 *   its URL goes on with.
 */
export function spot({ answers = [[200]], under = "" } = {}) {
  const id = randomUUID();
  const url = `http://127.0.0.1:${server.address().port}/${id}${under}`;
  const made = { url, answers: [...answers], arrivals: [] };
  spots.set(id, made);
  return made;
}

/** All arrivals at a destination, once there are so many. */
export function arrived({ arrivals }, count = 1, options) {
  return until(() => arrivals.length >= count && [...arrivals], options);
}
