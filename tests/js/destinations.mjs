// Destinations on loopback that record requests.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after } from "node:test";
import { waitUntil } from "./common.mjs";

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
