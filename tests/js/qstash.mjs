// Shared by the tests of the QStash dialect: the official client, its signature
// verifier, and destinations that record requests.

import { Client, Receiver, SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { environment, waitUntil } from "./common.mjs";

export { newDestination, waitForArrivals } from "./destinations.mjs";
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
