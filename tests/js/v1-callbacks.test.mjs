// Events that fire every second: run, paused, resumed, changed, ended, deleted.

import {
  Application,
  CONCURRENT,
  VERSIONS,
  assertSigned,
  inMs,
  newReceiver,
  waitUntil,
} from "./v1.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const EVERY_SECOND = "* * * * * *";
const GRACE_MS = 500;

describe("callbacks", CONCURRENT, () => {
  for (const axios of VERSIONS) {
    it(`axios ${axios.VERSION}: callbacks follow changes of an event`, async () => {
      const app = await new Application(axios).register();
      const [first, second, clock] = [newReceiver(), newReceiver(), newReceiver()];
      const interval = EVERY_SECOND;
      // Two arrivals at this receiver show that a second has passed.
      await app.create({ interval, callbackUrl: clock.url });
      const context = { user: 12345, "é": "\u2028😀", deep: [1.5, null, { a: true }] };

      const { eventId, status } = await app.create({
        interval,
        context,
        callbackUrl: first.url,
      });
      assert.equal(status, "INACTIVE");
      await first.next(3);
      assert.equal((await app.get(eventId)).status, "ACTIVE");
      const seconds = first.arrivals.map(({ fireMs }) => fireMs / 1_000);
      assert.deepEqual(
        seconds,
        seconds.map((_, n) => seconds[0] + n),
        "each second once",
      );
      for (const arrival of first.arrivals) {
        const { ms, fireMs, method, headers, raw } = arrival;
        assert.ok(ms >= fireMs, `early by ${fireMs - ms} ms`);
        assert.equal(raw, JSON.stringify(context));
        assert.deepEqual(
          [method, headers["content-type"], headers["scheduler-attempt"]],
          ["POST", "application/json", "1"],
        );
        assertSigned(arrival, app.signingSecret);
      }

      const paused = await app.callForData("post", `/event/${eventId}/pause`);
      const pausedMs = Date.now();
      assert.equal(paused.status, "PAUSED");
      await clock.next(2);
      assert.ok(first.arrivals.every(({ ms }) => ms < pausedMs + GRACE_MS));

      const arrived = first.next(1);
      const { callbackId } = await app.callForData("post", `/event/${eventId}/run`);
      await arrived;
      const { headers } = first.arrivals.at(-1);
      assert.equal(headers["webhook-id"], callbackId);
      const [manual, scheduled] = await waitUntil(async () => {
        const runs = await app.callForData("get", `/event/${eventId}/runs`);
        const isDelivered = ({ callbackId: id, state }) =>
          id === callbackId && state === "delivered";
        const index = runs.findIndex(isDelivered);
        return index >= 0 && [runs[index], runs.at(-1)];
      });
      assert.equal(manual.outcome, "run by hand");
      assert.deepEqual([scheduled.outcome, scheduled.attempts], ["fired", 1]);
      const attempts = await app.callForData("get", `/event/${eventId}/attempts`);
      assert.ok(attempts.every(({ responseBody }) => responseBody === "ok"));

      const resumed = await app.callForData("post", `/events/${eventId}/resume`);
      assert.equal(resumed.status, "ACTIVE");
      await first.next(1);

      const changed = { context: { other: 1 }, callbackUrl: second.url };
      const patched = await app.patch(eventId, changed);
      const patchedMs = Date.now();
      assert.deepEqual({ ...patched, ...changed }, patched);
      await second.next(2);
      assert.ok(second.arrivals.every(({ raw }) => raw === '{"other":1}'));
      assert.ok(first.arrivals.every(({ ms }) => ms < patchedMs + GRACE_MS));

      const endDate = inMs(1_500);
      assert.equal((await app.patch(eventId, { endDate })).endDate, endDate);
      await waitUntil(async () => (await app.get(eventId)).status === "FINISHED");
      assert.ok(Date.now() > Date.parse(endDate));
      await clock.next(2);
      assert.ok(second.arrivals.at(-1).fireMs <= Date.parse(endDate));
      const again = await app.patch(eventId, { endDate: inMs(60_000) });
      assert.equal(again.status, "ACTIVE");
      await second.next(1);

      const deleted = await app.callForData("delete", `/event/${eventId}`);
      const deletedMs = Date.now();
      assert.equal(deleted.eventId, eventId);
      await app.rejects(404, "Event not found", "get", `/event/${eventId}`);
      await clock.next(2);
      assert.ok(second.arrivals.every(({ ms }) => ms < deletedMs + GRACE_MS));
    });
  }
});
