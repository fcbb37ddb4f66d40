// Queues and flow control: order, limits, pauses.

import {
  CONCURRENTLY,
  arrived,
  client,
  idsOf,
  logged,
  refused,
  request,
  spot,
  until,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const BUSY = [503];

const newName = () => `n-${randomUUID()}`;
const bodies = (arrivals) => arrivals.map(({ raw }) => raw.toString());

describe("queues", CONCURRENTLY, () => {
  it("a queue lives from its creation to its deletion", async () => {
    const queueName = newName();
    const queue = client.queue({ queueName });
    await queue.upsert({ parallelism: 3, paused: true });

    const shown = await queue.get();
    assert.equal(shown.name, queueName);
    assert.deepEqual([shown.parallelism, shown.paused, shown.lag], [3, true, 0]);
    const all = await client.queue().list();
    assert.deepEqual(
      all.find(({ name }) => name === queueName),
      shown,
    );
    await queue.upsert({ parallelism: 1 });
    assert.equal((await queue.get()).paused, false);
    await queue.delete();
    await refused(queue.get(), 404, /not found/);
    await refused(queue.upsert({ parallelism: 0 }), 400, /parallelism/);
  });

  it("a queue keeps its order, over pauses and retries", async () => {
    const queue = client.queue({ queueName: newName() });
    const dest = spot({ answers: [BUSY, [200]] });
    await queue.upsert({ paused: true });
    const answers = [];
    for (const body of ["0", "1", "2"])
      answers.push(await queue.enqueue({ url: dest.url, body, retryDelay: "200" }));
    const { lag, paused } = await queue.get();
    assert.deepEqual([lag, paused, dest.arrivals.length], [3, true, 0]);

    await queue.resume();

    const arrivals = await arrived(dest, 4);
    assert.deepEqual(bodies(arrivals), ["0", "0", "1", "2"]);
    await logged(idsOf(answers)[2], "DELIVERED");
    await until(async () => (await queue.get()).lag === 0);
  });

  it("a queue takes url groups", async () => {
    const queue = client.queue({ queueName: newName() });
    const [one, two] = [spot(), spot()];
    const name = newName();
    const endpoints = [{ url: one.url }, { url: two.url }];
    await client.urlGroups.addEndpoints({ name, endpoints });

    const answers = await queue.enqueueJSON({ urlGroup: name, body: 1 });

    assert.equal(new Set(idsOf(answers)).size, 2);
    await arrived(one);
    await arrived(two);
  });
});

describe("flow control", CONCURRENTLY, () => {
  it("a key lets so many begin in a period", async () => {
    const dest = spot();
    const key = `a/b c ${newName()}`;
    const flowControl = { key, rate: 2, period: "1s" };
    await client.batch(Array.from({ length: 5 }, () => ({ url: dest.url, flowControl })));

    await arrived(dest, 5);
    const filter = { url: dest.url, state: "ACTIVE" };
    const { logs } = await client.logs({ filter });
    const times = logs.map(({ time }) => time).sort();
    assert.equal(times.length, 5);
    for (let n = 2; n < times.length; n++)
      assert.ok(times[n] - times[n - 2] >= 1000, `${times}`);
    const flow = await client.flowControl.get(key);
    assert.deepEqual([flow.flowControlKey, flow.rateMax, flow.ratePeriod], [key, 2, 1]);
  });

  it("a key is paused, pinned and reset", async () => {
    const dest = spot();
    const key = newName();
    const flowControl = { key, rate: 1, period: "1d" };
    await client.flowControl.pause(key);
    await client.batch(Array.from({ length: 3 }, () => ({ url: dest.url, flowControl })));
    await until(async () => (await client.flowControl.get(key)).waitListSize === 3);
    assert.equal(dest.arrivals.length, 0);

    await client.flowControl.resume(key);
    await arrived(dest, 1);
    await client.flowControl.resetRate(key);
    await arrived(dest, 2);
    await client.flowControl.pin(key, { rate: 50, period: 60 });
    await arrived(dest, 3);

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
