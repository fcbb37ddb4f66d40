// Schedules as clients create, read, list, replace, pause and delete them.

import {
  CONCURRENTLY,
  DEAD_END,
  arrived,
  client,
  other,
  refused,
  request,
  spot,
  until,
  verify,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const AT_NEW_YEAR = "0 0 1 1 *";
const BAD_CRONS = ["* * * *", "* * * * * *", "61 * * * *", "CRON_TZ=X/Y * * * * *"];
const newYear = (zoneHours = 0) =>
  Date.UTC(new Date().getUTCFullYear() + 1, 0, 1, -zoneHours);

async function create(words) {
  const { scheduleId } = await client.schedules.create({
    destination: DEAD_END,
    cron: AT_NEW_YEAR,
    ...words,
  });
  return scheduleId;
}

describe("schedules", CONCURRENTLY, () => {
  it("a schedule runs until it is paused", async () => {
    const to = spot({ answers: [[500], [200]] });
    const schedule = await create({
      destination: to.url,
      cron: "@every 1s",
      body: "tick",
      headers: { "X-Mine": "yes" },
      retries: 0,
    });

    const arrivals = await arrived(to, 3);
    await client.schedules.pause({ schedule });
    const paused = await client.schedules.get(schedule);
    const states = await until(async () => {
      const { lastScheduleStates } = await client.schedules.get(schedule);
      const inProgress = Object.values(lastScheduleStates).includes("IN_PROGRESS");
      return !inProgress && lastScheduleStates;
    });
    const ids = to.arrivals.map(({ headers }) => headers["upstash-message-id"]);
    const later = spot();
    await client.publish({ url: later.url, delay: "2s" });
    await arrived(later);

    for (const arrival of arrivals) {
      assert.equal(arrival.raw.toString(), "tick");
      assert.equal(arrival.headers["x-mine"], "yes");
      assert.equal(arrival.headers["upstash-schedule-id"], schedule);
      await verify(arrival);
    }
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(states, { [ids.at(-1)]: "SUCCESS" });
    assert.equal(paused.isPaused, true);
    assert.ok(paused.lastScheduleTime <= Date.now());
    assert.equal(to.arrivals.length, ids.length, "went on after the pause");
    assert.equal((await client.messages.get(ids[0])).scheduleId, schedule);
    await client.schedules.delete(schedule);
  });

  it("each run is made with what its schedule says", async () => {
    const [to, told] = [spot({ answers: [[503]] }), spot()];
    const schedule = await create({
      destination: to.url,
      cron: "@every 2s",
      method: "PUT",
      body: JSON.stringify({ a: 1 }),
      headers: { "Content-Type": "application/json" },
      delay: "1s",
      retries: 1,
      retryDelay: "100",
      failureCallback: told.url,
    });

    const [telling] = await arrived(told);
    await client.schedules.delete(schedule);

    const [first, second] = to.arrivals;
    const body = JSON.parse(telling.raw);
    assert.equal(second.headers["upstash-retried"], "1");
    assert.deepEqual(
      [first.method, first.raw.toString(), first.headers["content-type"]],
      ["PUT", '{"a":1}', "application/json"],
    );
    assert.equal(body.scheduleId, schedule);
    assert.equal(body.sourceMessageId, first.headers["upstash-message-id"]);
    assert.ok(first.at >= body.notBefore, "early");
  });

  it("a schedule is shown as it was created", async () => {
    const scheduleId = `Nightly.${randomUUID()}_1`;
    const created = await create({
      scheduleId,
      cron: " CRON_TZ=Asia/Tokyo 0 0 1 1 * ",
      method: "PUT",
      body: "hé",
      headers: { "x-mine": "yes" },
      delay: "90s",
      timeout: 30,
      retries: 7,
      retryDelay: "1000 * (1 + retried)",
      callback: DEAD_END,
      failureCallback: DEAD_END,
      queueName: "slow",
      label: ["a", "b"],
      flowControl: { key: "k", parallelism: 2, rate: 3, period: "1m" },
    });
    const { createdAt, ...shown } = await client.schedules.get(scheduleId);

    assert.equal(created, scheduleId);
    assert.ok(Math.abs(createdAt - Date.now()) < 60_000);
    assert.deepEqual(shown, {
      scheduleId,
      destination: DEAD_END,
      cron: "CRON_TZ=Asia/Tokyo 0 0 1 1 *",
      method: "PUT",
      isPaused: false,
      body: "hé",
      header: { "Content-Type": ["application/json"], "X-Mine": ["yes"] },
      delay: 90,
      timeout: 30,
      retries: 7,
      retryDelayExpression: "1000 * (1 + retried)",
      callback: DEAD_END,
      failureCallback: DEAD_END,
      queueName: "slow",
      label: "a",
      labels: ["a", "b"],
      flowControlKey: "k",
      parallelism: 2,
      rate: 3,
      ratePerSecond: 3,
      period: 60,
      callerIP: "127.0.0.1",
      callerIp: "127.0.0.1",
      nextScheduleTime: newYear(9),
      timeZone: "Asia/Tokyo",
      gap: "after",
      fold: "first",
      missedRuns: "latest",
      overlap: "run",
      skippedRuns: 0,
    });
  });

  it("an upsert replaces everything, and the list has it once", async () => {
    const scheduleId = randomUUID();
    await create({ scheduleId, body: "old", label: "old", retries: 0, delay: "10s" });
    const before = await client.schedules.get(scheduleId);

    await create({ scheduleId, destination: `${DEAD_END}/other`, cron: "@yearly" });

    const shown = await client.schedules.get(scheduleId);
    const listed = await client.schedules.list();
    assert.equal(shown.createdAt, before.createdAt);
    assert.equal(shown.destination, `${DEAD_END}/other`);
    assert.deepEqual([shown.cron, shown.retries], ["@yearly", 3]);
    for (const name of ["body", "label", "labels", "delay"]) {
      assert.equal(shown[name], undefined, name);
    }
    assert.deepEqual(
      listed.filter((each) => each.scheduleId === scheduleId),
      [shown],
    );
  });

  it("a schedule is paused and resumed, by either method", async () => {
    const schedule = await create();
    const isPaused = async () => (await client.schedules.get(schedule)).isPaused;

    for (let n = 0; n < 2; n += 1) {
      await client.schedules.pause({ schedule });
      assert.equal(await isPaused(), true);
    }
    await client.schedules.resume({ schedule });
    assert.equal(await isPaused(), false);
    const paused = await request("POST", `/v2/schedules/${schedule}/pause`);
    assert.deepEqual([paused.status, await isPaused()], [200, true]);
    const resumed = await request("POST", `/v2/schedules/${schedule}/resume`);
    assert.deepEqual([resumed.status, await isPaused()], [200, false]);
  });

  it("a destination may end like an action", async () => {
    for (const destination of [`${DEAD_END}/pause`, "http://127.0.0.1:1/resume"]) {
      const shown = await client.schedules.get(await create({ destination }));
      assert.equal(shown.destination, destination);
    }
  });

  it("a deleted schedule is gone, and others see none of it", async () => {
    const schedule = await create();
    const { schedules } = other;

    await refused(schedules.get(schedule), 404, /not found/);
    await refused(schedules.delete(schedule), 404, /not found/);
    await refused(schedules.pause({ schedule }), 404, /not found/);
    assert.deepEqual(await schedules.list(), []);
    await client.schedules.delete(schedule);
    await refused(client.schedules.get(schedule), 404, /not found/);
    await refused(client.schedules.delete(schedule), 404, /not found/);
    await refused(client.schedules.resume({ schedule }), 404, /not found/);
  });

  it("what is wrong is named", async () => {
    for (const cron of BAD_CRONS) {
      await refused(create({ cron }), 400, /^Upstash-Cron/);
    }
    await refused(create({ scheduleId: "a b" }), 400, /^Upstash-Schedule-Id/);
    await refused(create({ retryDelay: "1 +" }), 400, /^Upstash-Retry-Delay/);
    await refused(create({ destination: "group" }), 404, /group/);
    await refused(create({ destination: "ftp://a/" }), 400, /scheme/);
  });
});
