// Events of every second over real callbacks: paused, resumed, changed, ended, deleted.

import {
  Application,
  CONCURRENTLY,
  VERSIONS,
  inMs,
  receiver,
  until,
  verify,
} from "./v1.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const EVERY_SECOND = "* * * * * *";
const GRACE_MS = 500;

describe("callbacks", CONCURRENTLY, () => {
  for (const axios of VERSIONS) {
    it(`axios ${axios.VERSION}: an event does as it is told`, async () => {
      const app = await new Application(axios).register();
      const [first, second, clock] = [receiver(), receiver(), receiver()];
      const every = { interval: EVERY_SECOND };
      // What arrives here shows that time has passed.
      await app.create({ ...every, callbackUrl: clock.url });
      const context = { user: 12345, "é": "\u2028😀", deep: [1.5, null, { a: true }] };

      const { eventId, status } = await app.create({
        ...every,
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
        verify(arrival, app.signingSecret);
      }

      const paused = await app.good("post", `/event/${eventId}/pause`);
      const pausedMs = Date.now();
      assert.equal(paused.status, "PAUSED");
      await clock.next(2);
      assert.ok(first.arrivals.every(({ ms }) => ms < pausedMs + GRACE_MS));

      const called = first.next(1);
      const { callbackId } = await app.good("post", `/event/${eventId}/run`);
      await called;
      const { headers } = first.arrivals.at(-1);
      assert.equal(headers["webhook-id"], callbackId);
      const [byHand, fired] = await until(async () => {
        const runs = await app.good("get", `/event/${eventId}/runs`);
        const told = ({ callbackId: id, state }) =>
          id === callbackId && state === "delivered";
        const index = runs.findIndex(told);
        return index >= 0 && [runs[index], runs.at(-1)];
      });
      assert.equal(byHand.outcome, "run by hand");
      assert.deepEqual([fired.outcome, fired.attempts], ["fired", 1]);
      const attempts = await app.good("get", `/event/${eventId}/attempts`);
      assert.ok(attempts.every(({ responseBody }) => responseBody === "ok"));

      const resumed = await app.good("post", `/events/${eventId}/resume`);
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
      await until(async () => (await app.get(eventId)).status === "FINISHED");
      assert.ok(Date.now() > Date.parse(endDate));
      await clock.next(2);
      assert.ok(second.arrivals.at(-1).fireMs <= Date.parse(endDate));
      const again = await app.patch(eventId, { endDate: inMs(60_000) });
      assert.equal(again.status, "ACTIVE");
      await second.next(1);

      const deleted = await app.good("delete", `/event/${eventId}`);
      const deletedMs = Date.now();
      assert.equal(deleted.eventId, eventId);
      await app.refused(404, "Event not found", "get", `/event/${eventId}`);
      await clock.next(2);
      assert.ok(second.arrivals.every(({ ms }) => ms < deletedMs + GRACE_MS));
    });
  }
});
