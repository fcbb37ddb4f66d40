// Tests of the official client in its migration mode: it uses this server as US-EAST-1,
// and has the keys of another QStash as EU-CENTRAL-1.

import { Client, Receiver, SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { test } from "node:test";
import { environment } from "./common.mjs";
import { newDestination, waitForArrivals } from "./destinations.mjs";

const other = new Client({
  baseUrl: environment("EU_CENTRAL_1_QSTASH_URL"),
  token: environment("EU_CENTRAL_1_QSTASH_TOKEN"),
});

/** Publishes a message; returns what a receiver of it passes to `verify`. */
async function delivered(by) {
  const destination = newDestination();
  await by.publish({ url: destination.url, body: "hello" });
  const [{ headers, raw, url }] = await waitForArrivals(destination);
  return {
    signature: headers["upstash-signature"],
    upstashRegion: headers["upstash-region"],
    body: raw.toString(),
    url,
  };
}

test("deliveries name the region of the client that published them", async () => {
  const delivery = await delivered(new Client());

  assert.equal(delivery.upstashRegion, "US-EAST-1");
  assert.equal(await new Receiver().verify(delivery), true);
});

test("deliveries of the other QStash are verified with its keys", async () => {
  const delivery = await delivered(other);

  const theirs = { ...delivery, upstashRegion: "EU-CENTRAL-1" };
  assert.equal(await new Receiver().verify(theirs), true);
  await assert.rejects(new Receiver().verify(delivery), SignatureError);
});
