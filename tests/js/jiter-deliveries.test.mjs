// Events reach receivers behind the client's own `webhookHandler`, and what becomes of
// them is told as it happened.

import {
  CONCURRENTLY,
  DEAD_END,
  EVENT_KEYS,
  ISO,
  createEvent,
  editEvent,
  ended,
  getEvent,
  keysOf,
  later,
  receiver,
  refused,
  request,
  signingSecret,
  soon,
  tomorrow,
  until,
  verify,
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
  "nothing at all": "",
  blanks: "  two at both ends  ",
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

describe("deliveries", CONCURRENTLY, () => {
  it("what the middleware refuses is tried again after 3, 5 and 10 s", async () => {
    const spot = receiver({ tampered: 4 });
    const [scheduledTime, destination] = [soon(), spot.url];

    const { id } = await createEvent({ payload: "whole", scheduledTime, destination });
    const event = await ended(id, { withinMs: 50_000 });

    assert.equal(event.status, "Failed To Send");
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "failedAt", "history"].sort());
    assert.deepEqual(spot.events, []);
    const { requests } = spot;
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
      (record) => verify(record).headers["X-Jiter-Signature"],
    );
    assert.equal(new Set(signatures).size, 4, "every attempt is signed anew");
    assert.deepEqual(
      signatures,
      requests.map(({ headers }) => headers["x-jiter-signature"]),
    );
    await refused(
      editEvent({ id, status: "Cancelled" }),
      400,
      "Only events that are pending can be edited",
    );
  });

  for (const [name, payload] of Object.entries(PAYLOADS)) {
    it(`the middleware accepts ${name}`, async () => {
      const spot = receiver();
      const scheduledTime = soon();

      const event = await createEvent({
        payload,
        scheduledTime,
        destination: spot.url,
      });
      const { history, ...sent } = await ended(event.id);

      assert.deepEqual(spot.events, [
        { payload, scheduledTime: new Date(scheduledTime) },
      ]);
      assert.equal(spot.requests[0].raw, JSON.stringify({ payload, scheduledTime }));
      assert.ok(spot.requests[0].at.date >= new Date(scheduledTime), "early");
      const { status, sentAt, updatedAt } = sent;
      assert.deepEqual(sent, { ...event, status, sentAt, updatedAt });
      assert.equal(history.length, 1);
      assert.deepEqual(verify(history[0]).body, { payload, scheduledTime });
    });
  }

  it("a handler that asks for it gets its payload parsed", async () => {
    const spot = receiver({ parse: true });
    const payload = { action: "buy", values: ["eggs", "bacon"], note: "\u2028😀" };

    const [scheduledTime, destination] = [soon(), spot.url];
    await createEvent({ payload: JSON.stringify(payload), scheduledTime, destination });
    await until(() => spot.events.length > 0);

    assert.deepEqual(spot.events[0].payload, payload);
  });

  it("a sent event tells when, and shows its one attempt", async () => {
    const spot = receiver();
    const [scheduledTime, destination] = [soon(), spot.url];

    const { id } = await createEvent({ payload: "once", scheduledTime, destination });
    const event = await ended(id);

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
    const { headers } = spot.requests[0];
    const shown = Object.entries(verify(record).headers);
    for (const [name, value] of shown) {
      assert.equal(headers[name.toLowerCase()], String(value));
    }
    assert.equal(shown.length, 4);
    await refused(
      editEvent({ id, payload: "again" }),
      400,
      "Only events that are pending can be edited",
    );
  });

  it("the older header signs the payload alone", async () => {
    const spot = receiver();
    const payload = '{"é":"😀\u2028"}';

    await createEvent({ payload, scheduledTime: soon(), destination: spot.url });
    await until(() => spot.requests.length > 0);

    const signature = createHmac("sha256", signingSecret).update(payload);
    const { headers } = spot.requests[0];
    assert.equal(headers["jiter-signature"], signature.digest("base64"));
  });

  it("an event is sent once a retry succeeds", async () => {
    const spot = receiver({ tampered: 1 });
    const [scheduledTime, destination] = [soon(), spot.url];

    const { id } = await createEvent({ payload: "whole", scheduledTime, destination });
    const event = await ended(id);

    assert.equal(event.status, "Sent");
    assert.equal(event.failedAt, undefined);
    assert.deepEqual(
      event.history.map(({ status }) => status),
      ["401", "200"],
    );
    assert.deepEqual(
      spot.events.map(({ payload }) => payload),
      ["whole"],
    );
  });

  it("an event between two attempts is queued, and is not edited", async () => {
    const [payload, scheduledTime] = ["", soon()];

    const { id } = await createEvent({ payload, scheduledTime, destination: DEAD_END });
    const event = await until(async () => {
      const found = await getEvent({ id });
      return found.history.length > 0 && found;
    });

    assert.equal(event.status, "Queued");
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "history"].sort());
    const [record] = event.history;
    assert.deepEqual(
      keysOf(record),
      RECORD_KEYS.filter((key) => key !== "status"),
    );
    assert.match(record.responseData, /\w/);
    verify(record);
    for (const change of [{ payload: "x" }, { status: "Cancelled" }]) {
      const message = "Only events that are pending can be edited";
      await refused(editEvent({ id, ...change }), 400, message);
    }
  });

  it("a redirection is a failure, and is not followed", async () => {
    const elsewhere = receiver();
    const spot = receiver({ redirect: elsewhere.url });
    const [payload, scheduledTime] = ["stay", soon()];

    const { id } = await createEvent({ payload, scheduledTime, destination: spot.url });
    const { history, status } = await until(async () => {
      const found = await getEvent({ id });
      return found.history.length > 0 && found;
    });

    assert.deepEqual([history[0].status, status], ["307", "Queued"]);
    assert.deepEqual(elsewhere.requests, []);
  });

  it("an edited event is delivered as it was last edited", async () => {
    const [before, spot] = [receiver(), receiver()];
    const scheduledTime = soon(4_000);

    const { id } = await createEvent({
      payload: "first",
      scheduledTime,
      destination: before.url,
    });
    await editEvent({ id, payload: "second", destination: spot.url });
    await ended(id);

    assert.deepEqual(spot.events, [
      { payload: "second", scheduledTime: new Date(scheduledTime) },
    ]);
    assert.deepEqual(before.requests, []);
  });

  it("an event that is moved is delivered at its new time", async () => {
    const spot = receiver();
    const { id } = await createEvent({
      payload: "moved",
      scheduledTime: tomorrow(),
      destination: spot.url,
    });
    const scheduledTime = soon();

    const { data } = await request("PUT", `/events/${id}`, { data: { scheduledTime } });
    const event = await ended(id);

    assert.equal(data.scheduledTime, scheduledTime);
    assert.equal(event.scheduledTime, scheduledTime);
    assert.deepEqual(spot.events, [
      { payload: "moved", scheduledTime: new Date(scheduledTime) },
    ]);
    assert.ok(spot.requests[0].at.date >= new Date(scheduledTime), "early");
  });

  it("a cancelled event is not delivered", async () => {
    const spot = receiver();
    const scheduledTime = soon(4_000);
    const destination = spot.url;

    const { id } = await createEvent({ payload: "never", scheduledTime, destination });
    const cancelled = await editEvent({ id, status: "Cancelled" });
    const next = await createEvent({
      payload: "after it",
      scheduledTime: later(scheduledTime, 500),
      destination,
    });
    await ended(next.id);

    assert.equal(cancelled.status, "Cancelled");
    assert.deepEqual(
      spot.events.map(({ payload }) => payload),
      ["after it"],
    );
    const event = await getEvent({ id });
    assert.deepEqual([event.status, event.history], ["Cancelled", []]);
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "history"].sort());
  });
});
