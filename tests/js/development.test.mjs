// Tests of the official client with QSTASH_DEV=true, and nothing else, in the environment.

import { Client, Receiver } from "@upstash/qstash";
import assert from "node:assert/strict";
import { test } from "node:test";
import { newDestination, waitForArrivals } from "./destinations.mjs";

test("a client and a receiver work without a token and keys", async () => {
  const destination = newDestination();

  await new Client().publishJSON({ url: destination.url, body: { hello: "world" } });

  const [{ url, headers, raw }] = await waitForArrivals(destination);
  const signature = headers["upstash-signature"];
  const body = raw.toString();
  assert.equal(body, '{"hello":"world"}');
  assert.equal(await new Receiver().verify({ signature, body, url }), true);
});
