// Url groups, and dead letters: listed, removed, sent anew.

import {
  CONCURRENTLY,
  arrived,
  client,
  idsOf,
  refused,
  request,
  spot,
  until,
  verify,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const DOWN = [500, { "x-why": "down" }, "no"];

/** A new url group; its endpoints are called e0, e1 and so on. */
async function groupOf(...spots) {
  const name = `g-${randomUUID()}`;
  const endpoints = spots.map(({ url }, n) => ({ url, name: `e${n}` }));
  await client.urlGroups.addEndpoints({ name, endpoints });
  return name;
}

/** The dead letters of a destination, once there are so many. */
function letters({ url }, count) {
  return until(async () => {
    const { messages } = await client.dlq.listMessages({ filter: { url } });
    return messages.length === count && messages;
  });
}

/** Messages that give up at once, and their letters. */
async function die(dead, count, words = {}) {
  const each = Array.from({ length: count }, (_, n) => n);
  await client.batch(
    each.map((n) => ({ url: dead.url, body: `b${n}`, retries: 0, ...words })),
  );
  return letters(dead, count);
}

describe("url groups", CONCURRENTLY, () => {
  it("a group lives from its first endpoint to its last", async () => {
    const [a, b] = [{ url: "https://a.example/", name: "a" }, { url: "https://b.example/" }];
    const name = `g-${randomUUID()}`;
    await client.urlGroups.addEndpoints({ name, endpoints: [a, b] });
    await client.urlGroups.addEndpoints({ name, endpoints: [{ ...b, name: "b" }] });

    const group = await client.urlGroups.get(name);
    assert.deepEqual(group.endpoints, [a, { ...b, name: "b" }]);
    const groups = await client.urlGroups.list();
    assert.deepEqual(
      groups.find((each) => each.name === name),
      group,
    );
    await client.urlGroups.removeEndpoints({ name, endpoints: [{ name: "a" }, b] });
    await refused(client.urlGroups.get(name), 404, /not found/);
    await client.urlGroups.delete(name);
  });

  it("every endpoint gets what is published to its group", async () => {
    const [one, two] = [spot(), spot({ answers: [DOWN, [200]] })];
    const name = await groupOf(one, two);

    const answers = await client.publishJSON({
      urlGroup: name,
      body: { n: 1 },
      retryDelay: "100",
    });

    assert.deepEqual(
      answers.map(({ url }) => url),
      [one.url, two.url],
    );
    const [[first], [, second]] = [await arrived(one), await arrived(two, 2)];
    for (const [arrival, n] of [
      [first, 0],
      [second, 1],
    ]) {
      assert.equal(arrival.headers["upstash-message-id"], answers[n].messageId);
      assert.equal(arrival.headers["upstash-topic-name"], name);
      assert.deepEqual(JSON.parse(arrival.raw), { n: 1 });
      await verify(arrival);
      const message = await client.messages.get(answers[n].messageId);
      assert.equal(message.urlGroup, name);
      assert.equal(message.endpointName, `e${n}`);
    }
  });

  it("batches nest the answers of a group", async () => {
    const [one, two] = [spot(), spot()];
    const name = await groupOf(one, two);

    const [plain, several] = await client.batchJSON([
      { url: one.url, body: 1 },
      { urlGroup: name, body: 2 },
    ]);

    assert.equal(plain.url, one.url);
    assert.equal(new Set([plain.messageId, ...idsOf(several)]).size, 3);
    await arrived(one, 2);
    await arrived(two);
  });

  it("headers of a group hold where a publisher gives none", async () => {
    const one = spot();
    const name = await groupOf(one);
    const headers = { "Upstash-Forward-X-Group": ["yes"] };
    const body = JSON.stringify({ headers });
    const { status } = await request("PATCH", `/v2/topics/${name}`, { body });

    await client.publish({ urlGroup: name });

    assert.equal(status, 200);
    assert.equal((await arrived(one))[0].headers["x-group"], "yes");
  });

  it("a schedule reaches every endpoint", async () => {
    const spots = [spot(), spot()];
    const destination = await groupOf(...spots);
    const { scheduleId } = await client.schedules.create({
      destination,
      cron: "@every 1s",
      body: "tick",
    });

    for (const each of spots) {
      const [arrival] = await arrived(each);
      assert.equal(arrival.raw.toString(), "tick");
      assert.equal(arrival.headers["upstash-schedule-id"], scheduleId);
      await verify(arrival);
    }
    await client.schedules.delete(scheduleId);
  });
});

describe("dead letters", CONCURRENTLY, () => {
  it("a letter is the message and its last answer", async () => {
    const dead = spot({ answers: [DOWN] });

    const [letter] = await die(dead, 1, { label: "l", headers: { "x-mine": "yes" } });

    assert.equal(letter.url, dead.url);
    assert.equal(letter.body, "b0");
    assert.deepEqual(letter.header["X-Mine"], ["yes"]);
    assert.equal(letter.responseStatus, 500);
    assert.equal(letter.responseBody, "no");
    assert.deepEqual(letter.responseHeader["X-Why"], ["down"]);
    const { messages, cursor } = await client.dlq.listMessages({
      dlqIds: [letter.dlqId],
    });
    assert.deepEqual(messages, [letter]);
    assert.equal(cursor, undefined);
  });

  it("letters are listed page by page and deleted in any way", async () => {
    const dead = spot({ answers: [DOWN] });
    const ids = (await die(dead, 6)).map(({ dlqId }) => dlqId);
    const filter = { url: dead.url };
    const page = await client.dlq.listMessages({ filter, count: 4 });
    const rest = await client.dlq.listMessages({ filter, cursor: page.cursor });
    const listed = [...page.messages, ...rest.messages].map(({ dlqId }) => dlqId);

    assert.deepEqual(listed, ids);
    assert.equal(rest.cursor, undefined);
    await client.dlq.delete(ids[0]);
    await refused(client.dlq.delete(ids[0]), 404, /not found/);
    assert.deepEqual(await client.dlq.delete([ids[0], ids[1]]), { deleted: 1 });
    const { deleted, cursor } = await client.dlq.delete({ filter, count: 3 });
    assert.equal(deleted, 3);
    assert.deepEqual(await client.dlq.delete({ filter, cursor }), { deleted: 1 });
    await refused(client.dlq.delete({ filter: { urll: dead.url } }), 400, /urll/);
  });

  it("a letter is sent anew as a message of its own", async () => {
    const dead = spot({ answers: [DOWN, [200]] });
    const [{ dlqId, messageId }] = await die(dead, 1, { method: "PUT" });

    const { responses, cursor } = await client.dlq.retry(dlqId);

    const [{ messageId: anew }] = responses;
    assert.equal(cursor, undefined);
    assert.notEqual(anew, messageId);
    const [first, second] = await arrived(dead, 2);
    assert.equal(second.headers["upstash-message-id"], anew);
    assert.equal(second.headers["upstash-retried"], "0");
    assert.deepEqual([second.method, second.raw], [first.method, first.raw]);
    await verify(second);
    await letters(dead, 0);
    assert.deepEqual((await client.dlq.retry([dlqId])).responses, []);
  });

  it("many letters are sent anew, with other settings", async () => {
    const dead = spot({ answers: [DOWN, DOWN, [200]] });
    const [{ dlqId }] = await die(dead, 2, { label: "again" });
    const path = `/v2/dlq/retry/${dlqId}`;
    const headers = { "Upstash-Forward-X-Again": "yes" };

    const { status, body } = await request("POST", path, { headers });
    const { responses } = await client.dlq.retry({ filter: { url: dead.url } });

    assert.equal(status, 201);
    const arrivals = (await arrived(dead, 4)).slice(2);
    const by = new Map(arrivals.map((each) => [each.headers["upstash-message-id"], each]));
    assert.equal(by.get(body.messageId).headers["x-again"], "yes");
    assert.equal(by.get(responses[0].messageId).headers["x-again"], undefined);
  });
});
