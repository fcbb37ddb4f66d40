// Cancelling messages one by one and in bulk, and reading logs in pages.

import {
  CONCURRENT,
  DEAD_END,
  client,
  idsOf,
  newDestination,
  other,
  rejects,
  request,
  statesOf,
  waitForArrivals,
  waitForLogs,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

/** Publishes pending messages with these options; returns their ids. */
async function pending(...messages) {
  const delay = "1h";
  const batch = messages.map((options) => ({ url: DEAD_END, delay, ...options }));
  return idsOf(await client.batch(batch));
}

async function isPending(messageId) {
  try {
    return Boolean(await client.messages.get(messageId));
  } catch (err) {
    assert.equal(err.status, 404, err);
    return false;
  }
}

/** Asserts that a filter cancels the messages at the expected indexes only. */
async function assertCancels(filter, ids, expected) {
  const { cancelled } = await client.messages.cancel({ filter });

  const left = await Promise.all(ids.map(isPending));
  assert.deepEqual(
    left,
    ids.map((_, n) => !expected.includes(n)),
    JSON.stringify(filter),
  );
  assert.equal(cancelled, expected.length, JSON.stringify(filter));
}

describe("messages in bulk", CONCURRENT, () => {
  it("a cancelled message never arrives", async () => {
    const [cancelled, control] = [newDestination(), newDestination()];
    const { messageId } = await client.publish({ url: cancelled.url, delay: "5s" });
    await client.publish({ url: control.url, delay: "6s" });

    const answer = await client.messages.cancel(messageId);

    assert.equal(answer.cancelled, 1);
    await rejects(client.messages.cancel(messageId), 404, /./);
    await rejects(client.messages.get(messageId), 404, /./);
    await waitForArrivals(control);
    assert.deepEqual(cancelled.arrivals, []);
    const states = statesOf(await waitForLogs(messageId, "CANCELED"));
    assert.ok(!states.includes("ACTIVE"), states);
  });

  it("messages are cancelled by their ids", async () => {
    const ids = await pending({}, {}, {}, {});

    const some = await client.messages.cancel([...ids.slice(0, 2), "msg_unknown"]);
    const more = await client.messages.cancel(ids.slice(0, 3));

    assert.deepEqual([some.cancelled, more.cancelled], [2, 1]);
    assert.equal(await isPending(ids[3]), true);
  });

  it("messages are cancelled by a filter", async () => {
    const [a, b] = [randomUUID(), randomUUID()];
    const key = { key: a, parallelism: 1 };
    const [urlA, urlB] = [`http://127.0.0.1:1/${a}`, `http://127.0.0.1:2/${b}`];
    const now = { fromDate: Date.now() - 600_000, toDate: Date.now() + 600_000 };
    const publish = () =>
      pending(
        { label: a, url: urlA },
        { label: [a, b], url: urlB },
        { label: b, flowControl: key },
        { flowControl: { ...key, key: b }, url: `${urlA}?q=1` },
      );
    const cases = [
      [{ label: a }, [0, 1]],
      [{ label: [a, b] }, [0, 1, 2]],
      [{ label: b, url: urlB }, [1]],
      [{ url: [urlA, urlB] }, [0, 1]],
      [{ flowControlKey: a }, [2]],
      [{ flowControlKey: [a, b] }, [2, 3]],
      [{ path: `/${a}` }, [0, 3]],
      [{ path: `/${a}`, host: "127.0.0.1" }, [0, 3]],
      [{ label: a, callerIp: "127.0.0.1" }, [0, 1]],
      [{ label: a, callerIp: "127.0.0.9" }, []],
      [{ label: [a, b], ...now }, [0, 1, 2]],
      [{ label: a, toDate: now.fromDate }, []],
      [{ label: a, queueName: "none" }, []],
      [{ label: a, urlGroup: "none" }, []],
      [{ label: a, scheduleId: "none" }, []],
    ];

    for (const [filter, expected] of cases) {
      const ids = await publish();
      await assertCancels(filter, ids, expected);
      await client.messages.cancel(ids);
    }
  });

  it("an unknown filter is refused and cancels nothing", async () => {
    const ids = await pending({ label: "kept" });

    await rejects(
      client.messages.cancel({ filter: { labeel: "kept" } }),
      400,
      /labeel/,
    );

    assert.equal(await isPending(ids[0]), true);
  });

  it("cancelling all messages spares those of other tenants", async () => {
    const [messageId] = await pending({});
    const message = { url: DEAD_END, delay: "1h" };
    const otherIds = idsOf(await other.batch(Array(250).fill(message)));

    const answer = await other.messages.cancel({ all: true });

    assert.ok(answer.cancelled >= 250, answer.cancelled);
    await rejects(other.messages.get(otherIds[249]), 404, /./);
    assert.equal(await isPending(messageId), true);
    await rejects(other.messages.get(messageId), 404, /./);
    await rejects(other.messages.cancel(messageId), 404, /./);
  });

  it("logs are read page by page", async () => {
    const { url } = newDestination();
    const label = randomUUID();
    const ids = idsOf(
      await client.batch(Array.from({ length: 4 }, () => ({ url, label, retries: 0 }))),
    );
    for (const id of ids) await waitForLogs(id, "DELIVERED");

    const entries = [];
    let cursor;
    do {
      const page = await client.logs({ cursor, count: 5, filter: { label } });
      assert.ok(page.logs.length <= 5);
      entries.push(...page.logs);
      ({ cursor } = page);
    } while (cursor);

    assert.equal(entries.length, 12);
    assert.deepEqual(new Set(idsOf(entries)), new Set(ids));
    const times = entries.map(({ time }) => time);
    assert.deepEqual(
      times,
      [...times].sort((x, y) => y - x),
    );
    for (const [filter, count] of [
      [{ label, state: "DELIVERED" }, 4],
      [{ url, state: "CREATED" }, 4],
      [{ label, fromDate: times.at(-1), toDate: times[0] }, 12],
      [{ label, fromDate: times[0] + 1 }, 0],
      [{ label: [label, "none"] }, 12],
      [{ label: "none" }, 0],
      [{ label, host: "127.0.0.1", callerIp: "127.0.0.1" }, 12],
      [{ label, path: new URL(url).pathname }, 12],
      [{ label, queueName: "none" }, 0],
      [{ label, scheduleId: "none" }, 0],
    ]) {
      const { logs } = await client.logs({ filter });
      assert.equal(logs.length, count, JSON.stringify(filter));
    }
    const { logs } = await client.logs({ messageIds: ids.slice(0, 2) });
    assert.equal(logs.length, 6);
    assert.deepEqual((await other.logs({ filter: { label } })).logs, []);
  });

  it("logs have two paths, and two names for the list of entries", async () => {
    const [id] = await pending({});

    for (const path of ["/v2/logs", "/v2/events"]) {
      const { status, body } = await request("GET", `${path}?messageId=${id}`);
      assert.equal(status, 200);
      assert.deepEqual(statesOf(body.events), ["CREATED"]);
      assert.deepEqual(body.logs, body.events);
      assert.equal(body.cursor, undefined);
    }
  });
});
