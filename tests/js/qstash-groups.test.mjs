// URL groups, and dead letters: listed, deleted, retried.

import {
  CONCURRENT,
  assertSigned,
  client,
  idsOf,
  newDestination,
  rejects,
  request,
  waitForArrivals,
  waitUntil,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const DOWN = [500, { "x-reason": "down" }, "no"];

/** Creates a URL group with endpoints named e0, e1, and so on; returns its name. */
async function newGroup(...destinations) {
  const name = `g-${randomUUID()}`;
  const endpoints = destinations.map(({ url }, n) => ({ url, name: `e${n}` }));
  await client.urlGroups.addEndpoints({ name, endpoints });
  return name;
}

/** Waits until a destination has exactly this many dead letters; returns them. */
function waitForDeadLetters({ url }, count) {
  return waitUntil(async () => {
    const { messages } = await client.dlq.listMessages({ filter: { url } });
    return messages.length === count && messages;
  });
}

/** Publishes messages that fail without retries; returns their dead letters. */
async function createDeadLetters(failing, count, options = {}) {
  const { url } = failing;
  await client.batch(
    Array.from({ length: count }, (_, n) => ({
      url,
      body: `b${n}`,
      retries: 0,
      ...options,
    })),
  );
  return waitForDeadLetters(failing, count);
}

describe("url groups", CONCURRENT, () => {
  it("a group exists from its first endpoint to its last", async () => {
    const a = { url: "https://a.example/", name: "a" };
    const b = { url: "https://b.example/" };
    const name = `g-${randomUUID()}`;
    await client.urlGroups.addEndpoints({ name, endpoints: [a, b] });
    await client.urlGroups.addEndpoints({ name, endpoints: [{ ...b, name: "b" }] });

    const group = await client.urlGroups.get(name);
    assert.deepEqual(group.endpoints, [a, { ...b, name: "b" }]);
    const groups = await client.urlGroups.list();
    assert.deepEqual(
      groups.find((listed) => listed.name === name),
      group,
    );
    await client.urlGroups.removeEndpoints({ name, endpoints: [{ name: "a" }, b] });
    await rejects(client.urlGroups.get(name), 404, /not found/);
    await client.urlGroups.delete(name);
  });

  it("a message to a group reaches every endpoint", async () => {
    const [one, two] = [newDestination(), newDestination({ answers: [DOWN, [200]] })];
    const name = await newGroup(one, two);

    const answers = await client.publishJSON({
      urlGroup: name,
      body: { n: 1 },
      retryDelay: "100",
    });

    assert.deepEqual(
      answers.map(({ url }) => url),
      [one.url, two.url],
    );
    const [first] = await waitForArrivals(one);
    const [, retry] = await waitForArrivals(two, 2);
    for (const [arrival, n] of [
      [first, 0],
      [retry, 1],
    ]) {
      assert.equal(arrival.headers["upstash-message-id"], answers[n].messageId);
      assert.equal(arrival.headers["upstash-topic-name"], name);
      assert.deepEqual(JSON.parse(arrival.raw), { n: 1 });
      await assertSigned(arrival);
      const message = await client.messages.get(answers[n].messageId);
      assert.equal(message.urlGroup, name);
      assert.equal(message.endpointName, `e${n}`);
    }
  });

  it("the response to a batch nests the responses of a group", async () => {
    const [one, two] = [newDestination(), newDestination()];
    const name = await newGroup(one, two);

    const [plain, several] = await client.batchJSON([
      { url: one.url, body: 1 },
      { urlGroup: name, body: 2 },
    ]);

    assert.equal(plain.url, one.url);
    assert.equal(new Set([plain.messageId, ...idsOf(several)]).size, 3);
    await waitForArrivals(one, 2);
    await waitForArrivals(two);
  });

  it("a message without headers gets those of its group", async () => {
    const one = newDestination();
    const name = await newGroup(one);
    const headers = { "Upstash-Forward-X-Group": ["yes"] };
    const body = JSON.stringify({ headers });
    const { status } = await request("PATCH", `/v2/topics/${name}`, { body });

    await client.publish({ urlGroup: name });

    assert.equal(status, 200);
    assert.equal((await waitForArrivals(one))[0].headers["x-group"], "yes");
  });

  it("a schedule reaches every endpoint", async () => {
    const destinations = [newDestination(), newDestination()];
    const { scheduleId } = await client.schedules.create({
      destination: await newGroup(...destinations),
      cron: "@every 1s",
      body: "tick",
    });

    for (const destination of destinations) {
      const [arrival] = await waitForArrivals(destination);
      assert.equal(arrival.raw.toString(), "tick");
      assert.equal(arrival.headers["upstash-schedule-id"], scheduleId);
      await assertSigned(arrival);
    }
    await client.schedules.delete(scheduleId);
  });
});

describe("dead letters", CONCURRENT, () => {
  it("a dead letter has the message and its last response", async () => {
    const failing = newDestination({ answers: [DOWN] });

    const options = { label: "l", headers: { "x-mine": "yes" } };
    const [letter] = await createDeadLetters(failing, 1, options);

    assert.equal(letter.url, failing.url);
    assert.equal(letter.body, "b0");
    assert.deepEqual(letter.header["X-Mine"], ["yes"]);
    assert.equal(letter.responseStatus, 500);
    assert.equal(letter.responseBody, "no");
    assert.deepEqual(letter.responseHeader["X-Reason"], ["down"]);
    const { messages, cursor } = await client.dlq.listMessages({
      dlqIds: [letter.dlqId],
    });
    assert.deepEqual(messages, [letter]);
    assert.equal(cursor, undefined);
  });

  it("dead letters are listed in pages and deleted by id, ids or filter", async () => {
    const failing = newDestination({ answers: [DOWN] });
    const letters = await createDeadLetters(failing, 6);
    const ids = letters.map(({ dlqId }) => dlqId);
    const filter = { url: failing.url };
    const page = await client.dlq.listMessages({ filter, count: 4 });
    const rest = await client.dlq.listMessages({ filter, cursor: page.cursor });
    const listed = [...page.messages, ...rest.messages].map(({ dlqId }) => dlqId);

    assert.deepEqual(listed, ids);
    assert.equal(rest.cursor, undefined);
    await client.dlq.delete(ids[0]);
    await rejects(client.dlq.delete(ids[0]), 404, /not found/);
    assert.deepEqual(await client.dlq.delete([ids[0], ids[1]]), { deleted: 1 });
    const { deleted, cursor } = await client.dlq.delete({ filter, count: 3 });
    assert.equal(deleted, 3);
    assert.deepEqual(await client.dlq.delete({ filter, cursor }), { deleted: 1 });
    await rejects(client.dlq.delete({ filter: { urll: failing.url } }), 400, /urll/);
  });

  it("a retried dead letter becomes a new message", async () => {
    const failing = newDestination({ answers: [DOWN, [200]] });
    const letters = await createDeadLetters(failing, 1, { method: "PUT" });
    const [{ dlqId, messageId }] = letters;

    const { responses, cursor } = await client.dlq.retry(dlqId);

    const [{ messageId: newId }] = responses;
    assert.equal(cursor, undefined);
    assert.notEqual(newId, messageId);
    const [first, second] = await waitForArrivals(failing, 2);
    assert.equal(second.headers["upstash-message-id"], newId);
    assert.equal(second.headers["upstash-retried"], "0");
    assert.deepEqual([second.method, second.raw], [first.method, first.raw]);
    await assertSigned(second);
    await waitForDeadLetters(failing, 0);
    assert.deepEqual((await client.dlq.retry([dlqId])).responses, []);
  });

  it("dead letters are retried with other headers, and by filter", async () => {
    const failing = newDestination({ answers: [DOWN, DOWN, [200]] });
    const [{ dlqId }] = await createDeadLetters(failing, 2, { label: "again" });
    const path = `/v2/dlq/retry/${dlqId}`;
    const headers = { "Upstash-Forward-X-Again": "yes" };

    const { status, body } = await request("POST", path, { headers });
    const { responses } = await client.dlq.retry({ filter: { url: failing.url } });

    assert.equal(status, 201);
    const arrivals = (await waitForArrivals(failing, 4)).slice(2);
    const arrivalOf = (messageId) =>
      arrivals.find(({ headers }) => headers["upstash-message-id"] === messageId);
    assert.equal(arrivalOf(body.messageId).headers["x-again"], "yes");
    assert.equal(arrivalOf(responses[0].messageId).headers["x-again"], undefined);
  });
});
