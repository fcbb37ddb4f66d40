// Messages cancelled, one by one and in bulk, and logs read page by page.

import {
  CONCURRENTLY,
  DEAD_END,
  arrived,
  client,
  idsOf,
  logged,
  other,
  refused,
  request,
  spot,
  statesOf,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

/** Pending messages; each takes its words over what all share. */
async function pending(...each) {
  const delay = "1h";
  return idsOf(
    await client.batch(each.map((words) => ({ url: DEAD_END, delay, ...words }))),
  );
}

async function isPending(messageId) {
  try {
    return Boolean(await client.messages.get(messageId));
  } catch (err) {
    assert.equal(err.status, 404, err);
    return false;
  }
}

/** Holds which of some messages a filter cancels. */
async function cancels(filter, ids, wanted) {
  const { cancelled } = await client.messages.cancel({ filter });

  const left = await Promise.all(ids.map(isPending));
  const gone = left.map((stays) => !stays);
  assert.deepEqual(
    gone,
    ids.map((_, n) => wanted.includes(n)),
    JSON.stringify(filter),
  );
  assert.equal(cancelled, wanted.length, JSON.stringify(filter));
}

describe("messages in bulk", CONCURRENTLY, () => {
  it("a cancelled message never arrives", async () => {
    const [gone, stays] = [spot(), spot()];
    const { messageId } = await client.publish({ url: gone.url, delay: "5s" });
    await client.publish({ url: stays.url, delay: "6s" });

    const answer = await client.messages.cancel(messageId);

    assert.equal(answer.cancelled, 1);
    await refused(client.messages.cancel(messageId), 404, /./);
    await refused(client.messages.get(messageId), 404, /./);
    await arrived(stays);
    assert.deepEqual(gone.arrivals, []);
    const states = statesOf(await logged(messageId, "CANCELED"));
    assert.ok(!states.includes("ACTIVE"), states);
  });

  it("messages are cancelled by their ids", async () => {
    const ids = await pending({}, {}, {}, {});

    const some = await client.messages.cancel([...ids.slice(0, 2), "msg_unknown"]);
    const more = await client.messages.cancel(ids.slice(0, 3));

    assert.deepEqual([some.cancelled, more.cancelled], [2, 1]);
    assert.equal(await isPending(ids[3]), true);
  });

  it("messages are cancelled by what they have in common", async () => {
    const [a, b] = [randomUUID(), randomUUID()];
    const key = { key: a, parallelism: 1 };
    const [here, there] = [`http://127.0.0.1:1/${a}`, `http://127.0.0.1:2/${b}`];
    const around = { fromDate: Date.now() - 600_000, toDate: Date.now() + 600_000 };
    const make = () =>
      pending(
        { label: a, url: here },
        { label: [a, b], url: there },
        { label: b, flowControl: key },
        { flowControl: { ...key, key: b }, url: `${here}?q=1` },
      );
    const kinds = [
      [{ label: a }, [0, 1]],
      [{ label: [a, b] }, [0, 1, 2]],
      [{ label: b, url: there }, [1]],
      [{ url: [here, there] }, [0, 1]],
      [{ flowControlKey: a }, [2]],
      [{ flowControlKey: [a, b] }, [2, 3]],
      [{ path: `/${a}` }, [0, 3]],
      [{ path: `/${a}`, host: "127.0.0.1" }, [0, 3]],
      [{ label: a, callerIp: "127.0.0.1" }, [0, 1]],
      [{ label: a, callerIp: "127.0.0.9" }, []],
      [{ label: [a, b], ...around }, [0, 1, 2]],
      [{ label: a, toDate: around.fromDate }, []],
      [{ label: a, queueName: "none" }, []],
      [{ label: a, urlGroup: "none" }, []],
      [{ label: a, scheduleId: "none" }, []],
    ];

    for (const [filter, wanted] of kinds) {
      const ids = await make();
      await cancels(filter, ids, wanted);
      await client.messages.cancel(ids);
    }
  });

  it("a filter that does not exist cancels nothing", async () => {
    const ids = await pending({ label: "kept" });

    await refused(
      client.messages.cancel({ filter: { labeel: "kept" } }),
      400,
      /labeel/,
    );

    assert.equal(await isPending(ids[0]), true);
  });

  it("all messages of a tenant are cancelled, and no other's", async () => {
    const [ours] = await pending({});
    const message = { url: DEAD_END, delay: "1h" };
    const theirs = idsOf(await other.batch(Array(250).fill(message)));

    const answer = await other.messages.cancel({ all: true });

    assert.ok(answer.cancelled >= 250, answer.cancelled);
    await refused(other.messages.get(theirs[249]), 404, /./);
    assert.equal(await isPending(ours), true);
    await refused(other.messages.get(ours), 404, /./);
    await refused(other.messages.cancel(ours), 404, /./);
  });

  it("logs are read page by page", async () => {
    const to = spot();
    const label = randomUUID();
    const ids = idsOf(
      await client.batch(
        Array.from({ length: 4 }, () => ({ url: to.url, label, retries: 0 })),
      ),
    );
    for (const id of ids) await logged(id, "DELIVERED");

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
      [{ url: to.url, state: "CREATED" }, 4],
      [{ label, fromDate: times.at(-1), toDate: times[0] }, 12],
      [{ label, fromDate: times[0] + 1 }, 0],
      [{ label: [label, "nobody"] }, 12],
      [{ label: "nobody" }, 0],
      [{ label, host: "127.0.0.1", callerIp: "127.0.0.1" }, 12],
      [{ label, path: new URL(to.url).pathname }, 12],
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

  it("logs have two addresses, and two names for their entries", async () => {
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
