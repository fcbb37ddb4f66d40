// Schedules: create, read, list, replace, pause and delete.

import {
  CONCURRENT,
  DEAD_END,
  assertSigned,
  client,
  newDestination,
  other,
  rejects,
  request,
  waitForArrivals,
  waitUntil,
} from "./qstash.mjs";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";

const AT_NEW_YEAR = "0 0 1 1 *";
const BAD_CRONS = ["* * * *", "* * * * * *", "61 * * * *", "CRON_TZ=X/Y * * * * *"];
const newYear = (zoneHours = 0) =>
  Date.UTC(new Date().getUTCFullYear() + 1, 0, 1, -zoneHours);

async function create(options) {
  const { scheduleId } = await client.schedules.create({
    destination: DEAD_END,
    cron: AT_NEW_YEAR,
    ...options,
  });
  return scheduleId;
}

describe("schedules", CONCURRENT, () => {
  it("a schedule runs until it is paused", async () => {
    const destination = newDestination({ answers: [[500], [200]] });
    const schedule = await create({
      destination: destination.url,
      cron: "@every 1s",
      body: "tick",
      headers: { "X-Mine": "yes" },
      retries: 0,
    });

    const arrivals = await waitForArrivals(destination, 3);
    await client.schedules.pause({ schedule });
    const paused = await client.schedules.get(schedule);
    const states = await waitUntil(async () => {
      const { lastScheduleStates } = await client.schedules.get(schedule);
      const inProgress = Object.values(lastScheduleStates).includes("IN_PROGRESS");
      return !inProgress && lastScheduleStates;
    });
    const ids = destination.arrivals.map(
      ({ headers }) => headers["upstash-message-id"],
    );
    const later = newDestination();
    await client.publish({ url: later.url, delay: "2s" });
    await waitForArrivals(later);

    for (const arrival of arrivals) {
      assert.equal(arrival.raw.toString(), "tick");
      assert.equal(arrival.headers["x-mine"], "yes");
      assert.equal(arrival.headers["upstash-schedule-id"], schedule);
      await assertSigned(arrival);
    }
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(states, { [ids.at(-1)]: "SUCCESS" });
    assert.equal(paused.isPaused, true);
    assert.ok(paused.lastScheduleTime <= Date.now());
    assert.equal(destination.arrivals.length, ids.length, "runs after the pause");
    assert.equal((await client.messages.get(ids[0])).scheduleId, schedule);
    await client.schedules.delete(schedule);
  });

  it("each message has the options of its schedule", async () => {
    const destination = newDestination({ answers: [[503]] });
    const onFailure = newDestination();
    const schedule = await create({
      destination: destination.url,
      cron: "@every 2s",
      method: "PUT",
      body: JSON.stringify({ a: 1 }),
      headers: { "Content-Type": "application/json" },
      delay: "1s",
      retries: 1,
      retryDelay: "100",
      failureCallback: onFailure.url,
    });

    const [callback] = await waitForArrivals(onFailure);
    await client.schedules.delete(schedule);

    const [first, second] = destination.arrivals;
    const body = JSON.parse(callback.raw);
    assert.equal(second.headers["upstash-retried"], "1");
    assert.deepEqual(
      [first.method, first.raw.toString(), first.headers["content-type"]],
      ["PUT", '{"a":1}', "application/json"],
    );
    assert.equal(body.scheduleId, schedule);
    assert.equal(body.sourceMessageId, first.headers["upstash-message-id"]);
    assert.ok(first.at >= body.notBefore, "early");
  });

  it("a schedule has the fields that it was created with", async () => {
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
    const { createdAt, ...rest } = await client.schedules.get(scheduleId);

    assert.equal(created, scheduleId);
    assert.ok(Math.abs(createdAt - Date.now()) < 60_000);
    assert.deepEqual(rest, {
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

  it("an upsert replaces a schedule completely", async () => {
    const scheduleId = randomUUID();
    await create({ scheduleId, body: "old", label: "old", retries: 0, delay: "10s" });
    const before = await client.schedules.get(scheduleId);

    await create({ scheduleId, destination: `${DEAD_END}/other`, cron: "@yearly" });

    const after = await client.schedules.get(scheduleId);
    const schedules = await client.schedules.list();
    assert.equal(after.createdAt, before.createdAt);
    assert.equal(after.destination, `${DEAD_END}/other`);
    assert.deepEqual([after.cron, after.retries], ["@yearly", 3]);
    for (const name of ["body", "label", "labels", "delay"]) {
      assert.equal(after[name], undefined, name);
    }
    assert.deepEqual(
      schedules.filter((listed) => listed.scheduleId === scheduleId),
      [after],
    );
  });

  it("a schedule is paused and resumed by PATCH or POST", async () => {
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

  it("a destination may end with the name of an action", async () => {
    for (const destination of [`${DEAD_END}/pause`, "http://127.0.0.1:1/resume"]) {
      const schedule = await client.schedules.get(await create({ destination }));
      assert.equal(schedule.destination, destination);
    }
  });

  it("deleted schedules and those of other tenants are not found", async () => {
    const schedule = await create();
    const { schedules } = other;

    await rejects(schedules.get(schedule), 404, /not found/);
    await rejects(schedules.delete(schedule), 404, /not found/);
    await rejects(schedules.pause({ schedule }), 404, /not found/);
    assert.deepEqual(await schedules.list(), []);
    await client.schedules.delete(schedule);
    await rejects(client.schedules.get(schedule), 404, /not found/);
    await rejects(client.schedules.delete(schedule), 404, /not found/);
    await rejects(client.schedules.resume({ schedule }), 404, /not found/);
  });

  it("errors name the invalid field", async () => {
    for (const cron of BAD_CRONS) {
      await rejects(create({ cron }), 400, /^Upstash-Cron/);
    }
    await rejects(create({ scheduleId: "a b" }), 400, /^Upstash-Schedule-Id/);
    await rejects(create({ retryDelay: "1 +" }), 400, /^Upstash-Retry-Delay/);
    await rejects(create({ destination: "group" }), 404, /group/);
    await rejects(create({ destination: "ftp://a/" }), 400, /scheme/);
  });
});
