// What the tests of the Scheduler v1 dialect share: an application for each version of
// axios, and receivers on loopback.

import axios027 from "axios";
import axios16 from "axios-1.6";
import axiosNewest from "axios-newest";
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { environment, until } from "./every.mjs";

export { until };

export const VERSIONS = [axios027, axios16, axiosNewest];
export const CONCURRENTLY = { concurrency: 10 };
export const DAY_MS = 86_400_000;
// Nothing listens there.
export const DEAD_END = "http://127.0.0.1:1/dead-end";

const address = environment("SCHEDULER_API");

/** An application of its own, spoken to with one version of axios. */
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
      timeout: 5_000,
    });
  }

  /** What a success bears in `data`. */
  async good(...words) {
    const answer = await this.call(...words);
    assert.deepEqual(Object.keys(answer.data), ["data"]);
    return answer.data.data;
  }

  create(words) {
    return this.good("post", "/events", { ...this.example(), ...words });
  }

  get(id) {
    return this.good("get", `/event/${id}`);
  }

  patch(id, words) {
    return this.good("patch", `/events/${id}`, words);
  }

  /** As the documentation has it, but for the end, which is past there. */
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

  /** Holds that a call is answered with this status and message, in the four keys. */
  async refused(status, message, ...words) {
    const err = await this.call(...words).then(
      (answer) => assert.fail(`was answered: ${JSON.stringify(answer.data)}`),
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

const spots = new Map();
const server = createServer(async (req, res) => {
  const ms = Date.now();
  const parts = [];
  for await (const part of req) parts.push(part);
  const raw = Buffer.concat(parts).toString();
  const { headers, method } = req;
  const fireMs = parseInt(headers["scheduler-event-id"].split("_")[1]) * 1_000;
  spots.get(req.url).push({ ms, fireMs, method, headers, raw });
  res.end("ok");
}).listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  server.close();
  server.closeAllConnections();
});

/** A destination of its own, and what has arrived there. */
export function receiver() {
  const path = `/${randomUUID()}`;
  const arrivals = [];
  spots.set(path, arrivals);
  const url = `http://127.0.0.1:${server.address().port}${path}`;
  const next = (count) => {
    const wanted = arrivals.length + count;
    return until(() => arrivals.length >= wanted && arrivals);
  };
  return { url, arrivals, next };
}

/** Holds that a callback was signed as Standard Webhooks says. */
export function verify({ headers, raw }, signingSecret) {
  const key = Buffer.from(signingSecret.replace("whsec_", ""), "base64");
  const { "webhook-id": id, "webhook-timestamp": at } = headers;
  const signed = createHmac("sha256", key).update(`${id}.${at}.${raw}`);
  assert.equal(headers["webhook-signature"], `v1,${signed.digest("base64")}`);
}
