// Deliveries to receivers that use the client's `webhookHandler`, and how events and
// their histories show the results.

import {
  CONCURRENT,
  DEAD_END,
  EVENT_KEYS,
  ISO,
  assertSigned,
  createEvent,
  editEvent,
  getEvent,
  keysOf,
  later,
  newReceiver,
  rejects,
  request,
  signingSecret,
  soon,
  tomorrow,
  waitForEnd,
  waitUntil,
} from "./jiter.mjs";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";

const RECORD_KEYS = [
  "createdAt",
  "event",
  "id",
  "requestData",
  "responseData",
  "status",
  "updatedAt",
];

const PAYLOADS = {
  "plain text": "hello",
  "an empty string": "",
  spaces: "  two at both ends  ",
  "letters of many scripts": "Grüße, Привет, こんにちは, مرحبا, e\u0301 and \u00e9",
  emoji: "😀 👩‍👩‍👧‍👦 🏳️‍🌈",
  "line and paragraph separators": "one\u2028two\u2029three",
  "quotes and slashes": `"double" 'single' \`back\` \\ \\\\ / </script>`,
  "control characters": String.fromCharCode(...Array(32).keys(), 127, 133, 160),
  "byte order marks": "\ufeffinside \ufeff",
  "lone surrogates": "\ud83d and \ude00, \udfff\ud800",
  "escapes, as text": "\\u00e9 \\ud83d \\n",
  "nested JSON": JSON.stringify({ a: { b: [1, 'é😀\u2028"', { c: null }] }, "": {} }),
  "JSON in JSON in JSON": JSON.stringify(JSON.stringify(JSON.stringify({ q: '"\\' }))),
  "JSON that parsing would change": '{"n":1.0, "big":12345678901234567890, "n":2}',
  "100 kB": "é\u2028".repeat(20_000),
};

describe("deliveries", CONCURRENT, () => {
  it("a delivery that is refused is retried after 3, 5 and 10 s", async () => {
    const receiver = newReceiver({ tampered: 4 });
    const [scheduledTime, destination] = [soon(), receiver.url];

    const { id } = await createEvent({ payload: "whole", scheduledTime, destination });
    const event = await waitForEnd(id, { withinMs: 50_000 });

    assert.equal(event.status, "Failed To Send");
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "failedAt", "history"].sort());
    assert.deepEqual(receiver.events, []);
    const { requests } = receiver;
    assert.equal(requests.length, 4);
    const gaps = requests.slice(1).map(({ at }, n) => at.ms - requests[n].at.ms);
    for (const [n, atLeastMs] of [3_000, 5_000, 10_000].entries()) {
      assert.ok(gaps[n] >= atLeastMs, `retry ${n + 1} came after ${gaps[n]} ms`);
    }
    const { history, failedAt } = event;
    assert.match(failedAt, ISO);
    assert.ok(failedAt >= history[3].createdAt);
    assert.deepEqual(
      history,
      [...history].sort((a, b) => a.createdAt.localeCompare(b.createdAt)),
    );
    const answers = history.map(({ status, responseData }) => [status, responseData]);
    assert.deepEqual(answers, Array(4).fill(["401", "Unauthorized"]));
    const signatures = history.map(
      (record) => assertSigned(record).headers["X-Jiter-Signature"],
    );
    assert.equal(new Set(signatures).size, 4, "every attempt has its own signature");
    assert.deepEqual(
      signatures,
      requests.map(({ headers }) => headers["x-jiter-signature"]),
    );
    await rejects(
      editEvent({ id, status: "Cancelled" }),
      400,
      "Only events that are pending can be edited",
    );
  });

  for (const [name, payload] of Object.entries(PAYLOADS)) {
    it(`the middleware accepts ${name}`, async () => {
      const receiver = newReceiver();
      const scheduledTime = soon();

      const event = await createEvent({
        payload,
        scheduledTime,
        destination: receiver.url,
      });
      const { history, ...sent } = await waitForEnd(event.id);

      assert.deepEqual(receiver.events, [
        { payload, scheduledTime: new Date(scheduledTime) },
      ]);
      const [{ raw, at }] = receiver.requests;
      assert.equal(raw, JSON.stringify({ payload, scheduledTime }));
      assert.ok(at.date >= new Date(scheduledTime), "early");
      const { status, sentAt, updatedAt } = sent;
      assert.deepEqual(sent, { ...event, status, sentAt, updatedAt });
      assert.equal(history.length, 1);
      assert.deepEqual(assertSigned(history[0]).body, { payload, scheduledTime });
    });
  }

  it("the middleware can parse the payload", async () => {
    const receiver = newReceiver({ parse: true });
    const payload = { action: "buy", values: ["eggs", "bacon"], note: "\u2028😀" };

    const [scheduledTime, destination] = [soon(), receiver.url];
    await createEvent({ payload: JSON.stringify(payload), scheduledTime, destination });
    await waitUntil(() => receiver.events.length > 0);

    assert.deepEqual(receiver.events[0].payload, payload);
  });

  it("a sent event shows its time and its only attempt", async () => {
    const receiver = newReceiver();
    const [scheduledTime, destination] = [soon(), receiver.url];

    const { id } = await createEvent({ payload: "once", scheduledTime, destination });
    const event = await waitForEnd(id);

    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "history", "sentAt"].sort());
    assert.equal(event.status, "Sent");
    assert.match(event.sentAt, ISO);
    assert.ok(event.sentAt >= scheduledTime);
    assert.ok(event.updatedAt >= event.sentAt);
    const [record] = event.history;
    assert.deepEqual(keysOf(record), RECORD_KEYS);
    assert.match(record.id, /^\d+$/);
    assert.match(record.createdAt, ISO);
    assert.match(record.updatedAt, ISO);
    assert.deepEqual(
      [record.event, record.status, record.responseData],
      [id, "200", "OK"],
    );
    const { headers } = receiver.requests[0];
    const recorded = Object.entries(assertSigned(record).headers);
    for (const [name, value] of recorded) {
      assert.equal(headers[name.toLowerCase()], String(value));
    }
    assert.equal(recorded.length, 4);
    await rejects(
      editEvent({ id, payload: "again" }),
      400,
      "Only events that are pending can be edited",
    );
  });

  it("the older signature header signs only the payload", async () => {
    const receiver = newReceiver();
    const payload = '{"é":"😀\u2028"}';

    await createEvent({ payload, scheduledTime: soon(), destination: receiver.url });
    await waitUntil(() => receiver.requests.length > 0);

    const signature = createHmac("sha256", signingSecret).update(payload);
    const { headers } = receiver.requests[0];
    assert.equal(headers["jiter-signature"], signature.digest("base64"));
  });

  it("an event becomes Sent when a retry succeeds", async () => {
    const receiver = newReceiver({ tampered: 1 });
    const [scheduledTime, destination] = [soon(), receiver.url];

    const { id } = await createEvent({ payload: "whole", scheduledTime, destination });
    const event = await waitForEnd(id);

    assert.equal(event.status, "Sent");
    assert.equal(event.failedAt, undefined);
    assert.deepEqual(
      event.history.map(({ status }) => status),
      ["401", "200"],
    );
    assert.deepEqual(
      receiver.events.map(({ payload }) => payload),
      ["whole"],
    );
  });

  it("an event between two attempts is Queued and cannot be edited", async () => {
    const [payload, scheduledTime] = ["", soon()];

    const { id } = await createEvent({ payload, scheduledTime, destination: DEAD_END });
    const event = await waitUntil(async () => {
      const found = await getEvent({ id });
      return found.history.length > 0 && found;
    });

    assert.equal(event.status, "Queued");
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "history"].sort());
    const [record] = event.history;
    assert.deepEqual(
      keysOf(record),
      [...RECORD_KEYS.filter((key) => key !== "status"), "error", "errorCode"].sort(),
    );
    assert.match(record.responseData, /\w/);
    assert.equal(record.error, record.responseData);
    assertSigned(record);
    for (const change of [{ payload: "x" }, { status: "Cancelled" }]) {
      const message = "Only events that are pending can be edited";
      await rejects(editEvent({ id, ...change }), 400, message);
    }
  });

  it("a redirection is a failure, and is not followed", async () => {
    const target = newReceiver();
    const { url: destination } = newReceiver({ redirect: target.url });
    const [payload, scheduledTime] = ["stay", soon()];

    const { id } = await createEvent({ payload, scheduledTime, destination });
    const { history, status } = await waitUntil(async () => {
      const found = await getEvent({ id });
      return found.history.length > 0 && found;
    });

    assert.deepEqual([history[0].status, status], ["307", "Queued"]);
    assert.deepEqual(target.requests, []);
  });

  it("an edited event is delivered with its latest fields", async () => {
    const [before, after] = [newReceiver(), newReceiver()];
    const scheduledTime = soon(4_000);

    const { id } = await createEvent({
      payload: "first",
      scheduledTime,
      destination: before.url,
    });
    await editEvent({ id, payload: "second", destination: after.url });
    await waitForEnd(id);

    assert.deepEqual(after.events, [
      { payload: "second", scheduledTime: new Date(scheduledTime) },
    ]);
    assert.deepEqual(before.requests, []);
  });

  it("an event with a new scheduledTime is delivered at that time", async () => {
    const receiver = newReceiver();
    const { id } = await createEvent({
      payload: "moved",
      scheduledTime: tomorrow(),
      destination: receiver.url,
    });
    const scheduledTime = soon();

    const { data } = await request("PUT", `/events/${id}`, { data: { scheduledTime } });
    const event = await waitForEnd(id);

    assert.equal(data.scheduledTime, scheduledTime);
    assert.equal(event.scheduledTime, scheduledTime);
    assert.deepEqual(receiver.events, [
      { payload: "moved", scheduledTime: new Date(scheduledTime) },
    ]);
    assert.ok(receiver.requests[0].at.date >= new Date(scheduledTime), "early");
  });

  it("a cancelled event is not delivered", async () => {
    const receiver = newReceiver();
    const scheduledTime = soon(4_000);
    const destination = receiver.url;

    const { id } = await createEvent({ payload: "never", scheduledTime, destination });
    const cancelled = await editEvent({ id, status: "Cancelled" });
    const next = await createEvent({
      payload: "after it",
      scheduledTime: later(scheduledTime, 500),
      destination,
    });
    await waitForEnd(next.id);

    assert.equal(cancelled.status, "Cancelled");
    assert.deepEqual(
      receiver.events.map(({ payload }) => payload),
      ["after it"],
    );
    const event = await getEvent({ id });
    assert.deepEqual([event.status, event.history], ["Cancelled", []]);
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "history"].sort());
  });
});
