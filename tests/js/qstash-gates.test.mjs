// Queues and flow control: order, limits, pauses.

import {
  CONCURRENT,
  client,
  idsOf,
  newDestination,
  rejects,
  request,
  waitForArrivals,
  waitForLogs,
  waitUntil,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const BUSY = [503];

const newName = () => `n-${randomUUID()}`;
const bodies = (arrivals) => arrivals.map(({ raw }) => raw.toString());

describe("queues", CONCURRENT, () => {
  it("a queue is created, changed and deleted", async () => {
    const queueName = newName();
    const queue = client.queue({ queueName });
    await queue.upsert({ parallelism: 3, paused: true });

    const created = await queue.get();
    assert.equal(created.name, queueName);
    assert.deepEqual([created.parallelism, created.paused, created.lag], [3, true, 0]);
    const all = await client.queue().list();
    assert.deepEqual(
      all.find(({ name }) => name === queueName),
      created,
    );
    await queue.upsert({ parallelism: 1 });
    assert.equal((await queue.get()).paused, false);
    await queue.delete();
    await rejects(queue.get(), 404, /not found/);
    await rejects(queue.upsert({ parallelism: 0 }), 400, /parallelism/);
  });

  it("a queue keeps its order despite pauses and retries", async () => {
    const queue = client.queue({ queueName: newName() });
    const destination = newDestination({ answers: [BUSY, [200]] });
    const { url } = destination;
    await queue.upsert({ paused: true });
    const answers = [];
    for (const body of ["0", "1", "2"])
      answers.push(await queue.enqueue({ url, body, retryDelay: "200" }));
    const { lag, paused } = await queue.get();
    assert.deepEqual([lag, paused, destination.arrivals.length], [3, true, 0]);

    await queue.resume();

    const arrivals = await waitForArrivals(destination, 4);
    assert.deepEqual(bodies(arrivals), ["0", "0", "1", "2"]);
    await waitForLogs(idsOf(answers)[2], "DELIVERED");
    await waitUntil(async () => (await queue.get()).lag === 0);
  });

  it("a queue accepts messages to URL groups", async () => {
    const queue = client.queue({ queueName: newName() });
    const [one, two] = [newDestination(), newDestination()];
    const name = newName();
    const endpoints = [{ url: one.url }, { url: two.url }];
    await client.urlGroups.addEndpoints({ name, endpoints });

    const answers = await queue.enqueueJSON({ urlGroup: name, body: 1 });

    assert.equal(new Set(idsOf(answers)).size, 2);
    await waitForArrivals(one);
    await waitForArrivals(two);
  });
});

describe("flow control", CONCURRENT, () => {
  it("a key limits the rate", async () => {
    const destination = newDestination();
    const { url } = destination;
    const key = `a/b c ${newName()}`;
    const flowControl = { key, rate: 2, period: "1s" };
    await client.batch(Array.from({ length: 5 }, () => ({ url, flowControl })));

    await waitForArrivals(destination, 5);
    const filter = { url, state: "ACTIVE" };
    const { logs } = await client.logs({ filter });
    const times = logs.map(({ time }) => time).sort();
    assert.equal(times.length, 5);
    for (let n = 2; n < times.length; n++)
      assert.ok(times[n] - times[n - 2] >= 1000, `${times}`);
    const flow = await client.flowControl.get(key);
    assert.deepEqual([flow.flowControlKey, flow.rateMax, flow.ratePeriod], [key, 2, 1]);
  });

  it("a key is paused, pinned and reset", async () => {
    const destination = newDestination();
    const { url } = destination;
    const key = newName();
    const flowControl = { key, rate: 1, period: "1d" };
    await client.flowControl.pause(key);
    await client.batch(Array.from({ length: 3 }, () => ({ url, flowControl })));
    await waitUntil(async () => (await client.flowControl.get(key)).waitListSize === 3);
    assert.equal(destination.arrivals.length, 0);

    await client.flowControl.resume(key);
    await waitForArrivals(destination, 1);
    await client.flowControl.resetRate(key);
    await waitForArrivals(destination, 2);
    await client.flowControl.pin(key, { rate: 50, period: 60 });
    await waitForArrivals(destination, 3);

    const pinned = await client.flowControl.get(key);
    assert.deepEqual([pinned.isPinnedRate, pinned.rateMax], [true, 50]);
    await client.flowControl.unpin(key, { rate: true });
    assert.equal((await client.flowControl.get(key)).isPinnedRate, false);
    const { body } = await request("GET", `/v2/flowControl?search=${key}`);
    assert.deepEqual(
      body.map(({ flowControlKey }) => flowControlKey),
      [key],
    );
    const { parallelismCount } = await client.flowControl.getGlobalParallelism();
    assert.equal(typeof parallelismCount, "number");
  });
});
