// Lists of events, with all filters of the client.

import {
  CONCURRENT,
  DAY_MS,
  DEAD_END,
  EVENT_KEYS,
  EventStatus,
  cancelled,
  failed,
  failing,
  foreignApiKey,
  getManyEvents,
  idsOf,
  keysOf,
  later,
  listedAt,
  pending,
  rejects,
  request,
  sent,
  soon,
  uniqueTime,
  waitUntil,
} from "./jiter.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const MAX_LISTED = 1_000;

async function isListed(options, event) {
  return idsOf(await getManyEvents(options)).includes(event.id);
}

/** Asserts that both bounds of a filter are inclusive and exact to a millisecond. */
async function assertBounds(name, time, event) {
  const [start, end] = [`${name}StartDate`, `${name}EndDate`];
  const [before, after] = [later(time, -1), later(time, 1)];
  const found = await Promise.all(
    [
      { [start]: before },
      { [start]: time },
      { [start]: after },
      { [end]: before },
      { [end]: time },
      { [end]: after },
      { [start]: time, [end]: time },
      { [start]: after, [end]: before },
    ].map((options) => isListed(options, event)),
  );
  assert.deepEqual(found, [true, true, false, false, true, true, true, false]);
}

describe("lists of events", CONCURRENT, () => {
  it("are bare arrays of events without histories", async () => {
    await Promise.all([pending(), sent(), cancelled()]);

    const events = await getManyEvents();

    for (const event of events) {
      const optional = ["sentAt", "failedAt"].filter((key) => key in event);
      assert.deepEqual(keysOf(event), [...EVENT_KEYS, ...optional].sort());
    }
  });

  it("show events with all fields except their history", async () => {
    const { history, ...sentEvent } = await sent();

    for (const event of [await pending(), sentEvent, await cancelled()]) {
      const found = await listedAt(event.scheduledTime);
      assert.deepEqual(
        found.find(({ id }) => id === event.id),
        event,
      );
    }
  });

  const examples = {
    [EventStatus.Pending]: pending,
    [EventStatus.Sent]: sent,
    [EventStatus.Cancelled]: cancelled,
    [EventStatus.FailedToSend]: failed,
  };
  for (const [status, example] of Object.entries(examples)) {
    it(`status ${status} selects only events of that status`, async () => {
      const event = await example();

      const found = await getManyEvents({ status });

      assert.ok(idsOf(found).includes(event.id));
      assert.deepEqual([...new Set(found.map((other) => other.status))], [status]);
    });
  }

  it("status Queued selects events between two attempts", async () => {
    const event = await failing();
    const status = EventStatus.Queued;

    const found = await waitUntil(async () => {
      const queued = await getManyEvents({ status });
      return idsOf(queued).includes(event.id) && queued;
    });

    assert.deepEqual([...new Set(found.map((other) => other.status))], [status]);
  });

  it("status Failed To Queue selects nothing", async () => {
    assert.deepEqual(await getManyEvents({ status: EventStatus.FailedToQueue }), []);
  });

  it("several statuses select events of any of them", async () => {
    const events = await Promise.all([pending(), cancelled(), sent()]);
    const status = [
      EventStatus.Pending,
      EventStatus.Cancelled,
      EventStatus.FailedToSend,
    ];

    const found = await getManyEvents({ status });

    const has = events.map(({ id }) => idsOf(found).includes(id));
    assert.deepEqual(has, [true, true, false]);
  });

  it("scheduled bounds are inclusive", async () => {
    const event = await pending();

    await assertBounds("scheduled", event.scheduledTime, event);
  });

  it("sentAt bounds are inclusive and select only sent events", async () => {
    const event = await sent();

    await assertBounds("sentAt", event.sentAt, event);
    const found = await getManyEvents({
      sentAtStartDate: later(event.sentAt, -DAY_MS),
    });
    assert.ok(found.every(({ sentAt }) => sentAt));
  });

  it("failedAt bounds are inclusive and select only failed events", async () => {
    const event = await failed();

    await assertBounds("failedAt", event.failedAt, event);
    const found = await getManyEvents({
      failedAtStartDate: later(event.failedAt, -DAY_MS),
    });
    assert.ok(found.every(({ failedAt }) => failedAt));
  });

  it("an event must match all filters", async () => {
    const event = await sent();
    const { Pending, Sent } = EventStatus;
    const time = {
      sentAtStartDate: event.sentAt,
      scheduledEndDate: event.scheduledTime,
    };

    assert.equal(await isListed({ ...time, status: Sent }, event), true);
    assert.deepEqual(await getManyEvents({ ...time, status: Pending }), []);
    const scheduledStartDate = later(event.scheduledTime, 1);
    assert.deepEqual(await getManyEvents({ ...time, scheduledStartDate }), []);
  });

  it("undefined and empty filters are ignored", async () => {
    const events = await Promise.all([pending(), sent(), cancelled()]);
    const unset = [
      { status: undefined },
      { status: [] },
      { scheduledStartDate: undefined, scheduledEndDate: undefined },
      { sentAtStartDate: undefined, sentAtEndDate: undefined, status: [] },
      { failedAtStartDate: undefined, failedAtEndDate: "" },
      {},
      undefined,
    ];

    for (const options of unset) {
      const ids = idsOf(await getManyEvents(options));
      for (const event of events) assert.ok(ids.includes(event.id));
    }
  });

  it("an invalid bound is refused with its name", async () => {
    for (const filter of ["scheduled", "sentAt", "failedAt"]) {
      for (const end of ["StartDate", "EndDate"]) {
        const name = filter + end;
        const call = getManyEvents({ [name]: "yesterday" });
        await rejects(call, 400, `'${name}' must be a valid ISO timestamp`);
      }
    }
  });

  it("unknown statuses are refused", async () => {
    const quoted = Object.values(EventStatus).map((status) => `'${status}'`);

    for (const status of ["Done", "pending", ["Sent", "Done"]]) {
      const call = getManyEvents({ status });
      const { message } = (await call.catch((err) => err)).body;
      await rejects(call, 400, message);
      for (const status of quoted) assert.ok(message.includes(status), message);
    }
  });

  it("events that ended more than seven days ago cannot be searched", async () => {
    for (const name of ["sentAtStartDate", "failedAtStartDate"]) {
      const message = `${name} is outside of the searchable range`;
      const tooEarly = soon(-7 * DAY_MS - 120_000);
      await rejects(getManyEvents({ [name]: tooEarly }), 400, message);
      await getManyEvents({ [name]: soon(-7 * DAY_MS) });
    }
  });

  it("are sorted by scheduled time, then by id, up to a thousand", async () => {
    const [destination, key] = [DEAD_END, foreignApiKey];
    const scheduledStartDate = uniqueTime();
    const ids = [];
    while (ids.length <= MAX_LISTED) {
      const scheduledTime = uniqueTime();
      const createOne = () => {
        const data = { payload: "", destination, scheduledTime };
        return request("POST", "/events", { data, key });
      };
      const created = await Promise.all(Array.from({ length: 50 }, createOne));
      const sameTime = idsOf(created.map(({ data }) => data));
      ids.push(...sameTime.sort((a, b) => Number(a) - Number(b)));
    }

    const query = new URLSearchParams({
      scheduledStartDate,
      scheduledEndDate: uniqueTime(),
    });
    const { data } = await request("GET", `/events?${query}`, { key });

    assert.deepEqual(idsOf(data), ids.slice(0, MAX_LISTED));
  });
});
