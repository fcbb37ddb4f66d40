// Cron jobs: create, read, list, edit, disable, and one execution.

import {
  CONCURRENT,
  DEAD_END,
  ISO,
  MIB,
  assertSigned,
  createCronJob,
  createEvent,
  editCronJob,
  foreignApiKey,
  getCronJob,
  getManyCronJobs,
  idsOf,
  keysOf,
  later,
  newReceiver,
  rejects,
  request,
  waitForEnd,
  waitUntil,
} from "./jiter.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const KEYS = [
  "createdAt",
  "destination",
  "expression",
  "id",
  "nextExecutionDate",
  "nextExecutionStatus",
  "options",
  "org",
  "payload",
  "status",
  "updatedAt",
];
const RECORD_KEYS = [
  "createdAt",
  "cron",
  "id",
  "requestData",
  "responseData",
  "status",
  "updatedAt",
];
const BAD_EXPRESSION = "Please enter a valid cron expression";
const BAD_PAYLOAD = "'payload' must be a string";
const BAD_DESTINATION = "Please enter a valid destination";
const BAD_STATUS = "'status' must be one of 'Active' or 'Disabled'";
const NOT_FOUND = "Unable to find cron job";
const UNAUTHORIZED = "Please provide a valid API key";

const AT_NEW_YEAR = ["0 0 1 1 *", "0 0 1 JAN *", "@yearly", "@annually"];
const NEW_YEAR = new Date(Date.UTC(new Date().getUTCFullYear() + 1, 0)).toISOString();
const GOOD_EXPRESSIONS = [
  "* * * * *",
  "*/15 9-17 * * MON-fri",
  "0,30 0 1-7/2 2,DEC 7",
  "5-55/10 * 13 * Fri",
  "  0   12  * * *  ",
  "@hourly",
  "@daily",
  "@weekly",
  "@monthly",
];
const BAD_EXPRESSIONS = [
  undefined,
  null,
  5,
  "",
  "every minute",
  "2999-01-01T00:00:00.000Z",
  "* * * *",
  "* * * * * *",
  "60 * * * *",
  "* 24 * * *",
  "* * 0 * *",
  "* * 32 * *",
  "* * * 13 *",
  "* * * * 8",
  "*/0 * * * *",
  "30-10 * * * *",
  "-5 * * * *",
  "1.5 * * * *",
  "0 0 L * *",
  "0 0 * * 5#2",
  "0 0 15W * *",
  "H * * * *",
  "0 0 30 2 *",
  "CRON_TZ=UTC 0 0 * * *",
  "@reboot",
  "@never",
];

function create(fields) {
  const job = { payload: "x", destination: DEAD_END, expression: "0 0 1 1 *" };
  return createCronJob({ ...job, ...fields });
}

function nextMinute() {
  return new Date((Math.floor(Date.now() / 60_000) + 1) * 60_000).toISOString();
}

describe("cron jobs", CONCURRENT, () => {
  it("a job is executed at the full minute, unless it is disabled", async () => {
    const [minutely, disabled] = [newReceiver(), newReceiver()];
    const payload = '{"é":"😀\u2028\ud83d"}';
    const expression = "* * * * *";
    const job = await createCronJob({ payload, expression, destination: minutely.url });
    const other = await create({ expression, destination: disabled.url });
    await editCronJob({ id: other.id, status: "Disabled" });
    const tick = job.nextExecutionDate;
    const after = await createEvent({
      payload,
      scheduledTime: later(tick, 1_000),
      destination: newReceiver().url,
    });

    const { history } = await waitUntil(
      async () => {
        const found = await getCronJob({ id: job.id });
        return found.history.length > 0 && found;
      },
      { withinMs: 70_000 },
    );
    await editCronJob({ id: job.id, status: "Disabled" });
    await waitForEnd(after.id);

    assert.deepEqual(minutely.events[0], { payload, scheduledTime: new Date(tick) });
    assert.equal(
      minutely.requests[0].raw,
      JSON.stringify({ payload, scheduledTime: tick }),
    );
    assert.ok(minutely.requests[0].at.date >= new Date(tick), "early");
    assert.deepEqual(disabled.requests, []);
    const [record] = history;
    assert.deepEqual(keysOf(record), RECORD_KEYS);
    assert.match(record.id, /^\d+$/);
    assert.match(record.createdAt, ISO);
    assert.deepEqual(
      [record.cron, record.status, record.responseData],
      [job.id, "200", "OK"],
    );
    assert.deepEqual(assertSigned(record).body, { payload, scheduledTime: tick });
    const current = await getCronJob({ id: job.id });
    assert.ok(current.nextExecutionDate > tick);
    assert.equal(current.nextExecutionStatus, "Pending");
  });

  it("a created job is active and has the fields that were sent", async () => {
    const payload = 'é\u2028😀 \ud83d \u0000 " \\';
    const destination = "http://Example.com:8080//é/%2e?q=%2F&r=1;2#part";
    const expression = "0 0 1 1 *";

    const job = await createCronJob({ payload, destination, expression });

    const { id, org, createdAt, updatedAt, ...rest } = job;
    assert.deepEqual(rest, {
      payload,
      destination,
      expression,
      status: "Active",
      nextExecutionStatus: "Pending",
      nextExecutionDate: NEW_YEAR,
      options: {
        timeZone: "UTC",
        gap: "after",
        fold: "first",
        missedRuns: "latest",
        overlap: "run",
      },
      history: [],
    });
    assert.deepEqual(keysOf(job), [...KEYS, "history"].sort());
    assert.match(id, /^\d+$/);
    assert.match(org, /^\d+$/);
    assert.match(createdAt, ISO);
    assert.equal(updatedAt, createdAt);
    assert.deepEqual(await getCronJob({ id }), job);
  });

  it("the next execution is shown in UTC", async () => {
    for (const expression of AT_NEW_YEAR) {
      const { nextExecutionDate } = await create({ expression });
      assert.equal(nextExecutionDate, NEW_YEAR, expression);
    }
  });

  it("an expression is stored unchanged", async () => {
    for (const expression of GOOD_EXPRESSIONS) {
      const earliest = nextMinute();
      const job = await create({ expression });
      await editCronJob({ id: job.id, status: "Disabled" });
      assert.equal(job.expression, expression);
      assert.match(job.nextExecutionDate, /:00\.000Z$/);
      assert.ok(job.nextExecutionDate >= earliest);
    }
  });

  it("the list is a bare array of all jobs, without histories", async () => {
    const first = await create();
    const second = await create();
    await editCronJob({ id: second.id, status: "Disabled" });

    const jobs = await getManyCronJobs();

    const { history, ...withoutHistory } = first;
    assert.deepEqual(
      jobs.find(({ id }) => id === first.id),
      withoutHistory,
    );
    assert.equal(jobs.find(({ id }) => id === second.id).status, "Disabled");
    for (const job of jobs) assert.deepEqual(keysOf(job), KEYS);
  });

  it("an edit changes only the fields it names", async () => {
    const { id, ...job } = await create();
    const changes = [
      { payload: "é" },
      { destination: `${DEAD_END}/other` },
      { expression: "@annually" },
      {
        payload: "y",
        destination: DEAD_END,
        expression: "0 0 1 1 *",
        status: "Active",
      },
      {},
    ];

    for (const change of changes) {
      Object.assign(job, change);
      const { updatedAt, ...edited } = await editCronJob({ id, ...change });
      assert.ok(updatedAt >= job.updatedAt);
      job.updatedAt = updatedAt;
      assert.deepEqual({ updatedAt, ...edited }, { id, ...job });
      assert.deepEqual(await getCronJob({ id }), { id, ...job });
    }
  });

  it("a changed expression changes the next execution", async () => {
    const { id } = await create();
    const { nextExecutionDate } = await editCronJob({ id, expression: "0 0 1 7 *" });

    const july = /^\d{4}-07-01T00:00:00\.000Z$/;
    assert.match(nextExecutionDate, july);
    assert.match((await getCronJob({ id })).nextExecutionDate, july);
  });

  it("a disabled job shows its next execution and can be enabled again", async () => {
    const { id, ...job } = await create();

    const disabled = await editCronJob({ id, status: "Disabled" });
    const enabled = await editCronJob({ id, status: "Active" });

    const { updatedAt } = enabled;
    assert.equal(disabled.status, "Disabled");
    assert.deepEqual(keysOf(disabled), [...KEYS, "history"].sort());
    assert.equal(disabled.nextExecutionStatus, "Pending");
    assert.equal(disabled.nextExecutionDate, NEW_YEAR);
    assert.deepEqual(enabled, { id, ...job, updatedAt });
  });

  it("bad expressions are refused, and nothing is stored", async () => {
    const destination = `${DEAD_END}/bad-expression`;
    for (const expression of BAD_EXPRESSIONS) {
      await rejects(create({ expression, destination }), 400, BAD_EXPRESSION);
    }

    const jobs = await getManyCronJobs();
    assert.ok(jobs.every((job) => job.destination !== destination));
  });

  it("bad payloads and destinations are refused, and nothing is stored", async () => {
    const expression = "59 23 31 12 *";
    for (const payload of [undefined, null, 1, {}]) {
      await rejects(create({ expression, payload }), 400, BAD_PAYLOAD);
    }
    for (const destination of [
      undefined,
      null,
      1,
      "",
      "nowhere",
      "ftp://example.com/",
    ]) {
      await rejects(create({ expression, destination }), 400, BAD_DESTINATION);
    }
    const payload = "x".repeat(MIB + 1);
    const tooLarge = "The request body is too large";
    await rejects(create({ expression, payload }), 413, tooLarge);
    for (const body of ['{"payload":', "[]", ""]) {
      const headers = { "content-type": "application/json" };
      const call = request("POST", "/cronjobs", { data: Buffer.from(body), headers });
      await rejects(call, 400, "Invalid request body");
    }

    const jobs = await getManyCronJobs();
    assert.ok(jobs.every((job) => job.expression !== expression));
  });

  it("a refused edit changes nothing", async () => {
    const { id, ...job } = await create();
    const valid = {
      payload: "new",
      destination: `${DEAD_END}/new`,
      status: "Disabled",
    };
    const faults = [
      [{ status: "Cancelled" }, BAD_STATUS],
      [{ status: "active" }, BAD_STATUS],
      [{ status: null }, BAD_STATUS],
      [{ expression: "* * * *" }, BAD_EXPRESSION],
      [{ expression: null }, BAD_EXPRESSION],
      [{ payload: 1 }, BAD_PAYLOAD],
      [{ destination: "nowhere" }, BAD_DESTINATION],
    ];

    for (const [fault, message] of faults) {
      await rejects(editCronJob({ id, ...valid, ...fault }), 400, message);
      assert.deepEqual(await getCronJob({ id }), { id, ...job });
    }
  });

  it("an unknown id is not found", async () => {
    for (const id of ["0", "999999999999", "abc"]) {
      await rejects(getCronJob({ id }), 404, NOT_FOUND);
      await rejects(editCronJob({ id, payload: "x" }), 404, NOT_FOUND);
    }
  });

  it("events and jobs are not found by each other's ids", async () => {
    const { id } = await create();
    const scheduledTime = NEW_YEAR;
    const event = await createEvent({
      payload: "",
      scheduledTime,
      destination: DEAD_END,
    });

    await rejects(getCronJob({ id: event.id }), 404, NOT_FOUND);
    await rejects(request("GET", `/events/${id}`), 404, "Unable to find event");
  });

  it("requests with a foreign, unknown or missing key have no access", async () => {
    const { id, ...job } = await create();
    const data = { status: "Disabled" };
    const key = foreignApiKey;

    await rejects(request("GET", `/cronjobs/${id}`, { key }), 404, NOT_FOUND);
    await rejects(request("PUT", `/cronjobs/${id}`, { key, data }), 404, NOT_FOUND);
    assert.deepEqual((await request("GET", "/cronjobs", { key })).data, []);
    for (const key of [null, "unknown"]) {
      const call = request("PUT", `/cronjobs/${id}`, { key, data });
      await rejects(call, 401, UNAUTHORIZED);
      await rejects(request("GET", "/cronjobs", { key }), 401, UNAUTHORIZED);
    }
    assert.deepEqual(await getCronJob({ id }), { id, ...job });
  });

  it("the path may be spelled cronJobs or cronjobs", async () => {
    const { id } = await create();

    assert.equal((await request("GET", `/cronJobs/${id}`)).data.id, id);
    assert.ok(idsOf((await request("GET", "/cronJobs/")).data).includes(id));
    const data = { payload: "x", destination: DEAD_END, expression: "@yearly" };
    assert.equal((await request("POST", "/cronJobs", { data })).status, 200);
  });

  it("a job can be deleted", async () => {
    const { id } = await create();

    await request("DELETE", `/cronjobs/${id}`);

    await rejects(getCronJob({ id }), 404, NOT_FOUND);
    assert.equal(idsOf(await getManyCronJobs()).includes(id), false);
  });
});
