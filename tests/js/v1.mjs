// Shared by the tests of the Scheduler v1 dialect: an application for each version of
// axios, and receivers on loopback.

import axios027 from "axios";
import axios16 from "axios-1.6";
import axiosNewest from "axios-newest";
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { environment, waitUntil } from "./common.mjs";

export { waitUntil };

export const VERSIONS = [axios027, axios16, axiosNewest];
export const CONCURRENT = { concurrency: 10 };
export const DAY_MS = 86_400_000;
// Nothing listens at this address.
export const DEAD_END = "http://127.0.0.1:1/dead-end";

const address = environment("SCHEDULER_API");

/** A new application that is called with one version of axios. */
export class Application {
  constructor(axios) {
    this.axios = axios;
    this.name = `${axios.VERSION} ${randomUUID()}`;
  }

  async register() {
    const { data } = await this.call("post", "/register", { appName: this.name });
    Object.assign(this, data.data);
    return this;
  }

  call(method, path, data, params) {
    return this.axios({
      method,
      url: `${address}/v1${path}`,
      data,
      params,
      headers: this.apiKey ? { "X-API-Key": this.apiKey } : {},
      timeout: 20_000,
    });
  }

  /** Calls, and returns the `data` of the successful response. */
  async callForData(...args) {
    const answer = await this.call(...args);
    assert.deepEqual(Object.keys(answer.data), ["data"]);
    return answer.data.data;
  }

  create(fields) {
    return this.callForData("post", "/events", { ...this.example(), ...fields });
  }

  get(id) {
    return this.callForData("get", `/event/${id}`);
  }

  patch(id, fields) {
    return this.callForData("patch", `/events/${id}`, fields);
  }

  /** The documented example, but with an end in the future. */
  example() {
    return {
      eventOwner: "user@example.com",
      endDate: inMs(DAY_MS),
      interval: "* * * 1 * *",
      callbackUrl: DEAD_END,
      context: { user: 12345 },
      tags: ["prod"],
    };
  }

  /** Asserts that a call fails with this status and message, in the error format. */
  async rejects(status, message, ...args) {
    const err = await this.call(...args).then(
      (answer) => assert.fail(`succeeded: ${JSON.stringify(answer.data)}`),
      (err) => err,
    );
    if (!err.response) throw err;
    const { timestamp, error, ...rest } = err.response.data;
    assert.equal(err.response.status, status);
    assert.deepEqual(rest, { statusCode: status, message });
    assert.equal(typeof error, "string");
    assert.equal(new Date(timestamp).toISOString(), timestamp);
  }
}

export function inMs(ms) {
  return new Date(Date.now() + ms).toISOString();
}

const receivers = new Map();
const server = createServer(async (req, res) => {
  const ms = Date.now();
  const parts = [];
  for await (const part of req) parts.push(part);
  const raw = Buffer.concat(parts).toString();
  const { headers, method } = req;
  const fireMs = parseInt(headers["scheduler-event-id"].split("_")[1]) * 1_000;
  receivers.get(req.url).push({ ms, fireMs, method, headers, raw });
  res.end("ok");
}).listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/** A new destination: its URL, its arrivals, and `next(n)`, which waits for n more. */
export function newReceiver() {
  const path = `/${randomUUID()}`;
  const arrivals = [];
  receivers.set(path, arrivals);
  const url = `http://127.0.0.1:${server.address().port}${path}`;
  const next = (count) => {
    const total = arrivals.length + count;
    return waitUntil(() => arrivals.length >= total && arrivals);
  };
  return { url, arrivals, next };
}

/** Asserts that a callback is signed according to Standard Webhooks. */
export function assertSigned({ headers, raw }, signingSecret) {
  const key = Buffer.from(signingSecret.replace("whsec_", ""), "base64");
  const { "webhook-id": id, "webhook-timestamp": at } = headers;
  const signed = createHmac("sha256", key).update(`${id}.${at}.${raw}`);
  assert.equal(headers["webhook-signature"], `v1,${signed.digest("base64")}`);
}
