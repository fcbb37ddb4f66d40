// Lists of events, with each filter as the client sends it.

import {
  CONCURRENTLY,
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
  ownTime,
  pending,
  refused,
  request,
  sent,
  soon,
  until,
} from "./jiter.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const MOST_LISTED = 1_000;

async function lists(options, event) {
  return idsOf(await getManyEvents(options)).includes(event.id);
}

/** Holds that a filter's bounds include the moment itself, and nothing beyond it. */
async function holdsBounds(name, moment, event) {
  const [start, end] = [`${name}StartDate`, `${name}EndDate`];
  const [before, after] = [later(moment, -1), later(moment, 1)];
  const found = await Promise.all(
    [
      { [start]: before },
      { [start]: moment },
      { [start]: after },
      { [end]: before },
      { [end]: moment },
      { [end]: after },
      { [start]: moment, [end]: moment },
      { [start]: after, [end]: before },
    ].map((options) => lists(options, event)),
  );
  assert.deepEqual(found, [true, true, false, false, true, true, true, false]);
}

describe("lists of events", CONCURRENTLY, () => {
  it("are bare arrays of events without histories", async () => {
    await Promise.all([pending(), sent(), cancelled()]);

    const events = await getManyEvents();

    for (const event of events) {
      const optional = ["sentAt", "failedAt"].filter((key) => key in event);
      assert.deepEqual(keysOf(event), [...EVENT_KEYS, ...optional].sort());
    }
  });

  it("show an event as it was created, or as it ended", async () => {
    const { history, ...event } = await sent();

    for (const one of [await pending(), event, await cancelled()]) {
      const found = await listedAt(one.scheduledTime);
      assert.deepEqual(
        found.find(({ id }) => id === one.id),
        one,
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
    it(`${status} selects only that`, async () => {
      const event = await example();

      const found = await getManyEvents({ status });

      assert.ok(idsOf(found).includes(event.id));
      assert.deepEqual([...new Set(found.map((other) => other.status))], [status]);
    });
  }

  it("Queued selects what is between two attempts", async () => {
    const event = await failing();
    const status = EventStatus.Queued;

    const found = await until(async () => {
      const queued = await getManyEvents({ status });
      return idsOf(queued).includes(event.id) && queued;
    });

    assert.deepEqual([...new Set(found.map((other) => other.status))], [status]);
  });

  it("Failed To Queue selects nothing while nothing is", async () => {
    assert.deepEqual(await getManyEvents({ status: EventStatus.FailedToQueue }), []);
  });

  it("several statuses select all of these", async () => {
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

  it("scheduled bounds include the moment itself", async () => {
    const event = await pending();

    await holdsBounds("scheduled", event.scheduledTime, event);
  });

  it("sentAt bounds include the moment itself, and only what was sent", async () => {
    const event = await sent();

    await holdsBounds("sentAt", event.sentAt, event);
    const found = await getManyEvents({
      sentAtStartDate: later(event.sentAt, -DAY_MS),
    });
    assert.ok(found.every(({ sentAt }) => sentAt));
  });

  it("failedAt bounds include the moment itself, and only what failed", async () => {
    const event = await failed();

    await holdsBounds("failedAt", event.failedAt, event);
    const found = await getManyEvents({
      failedAtStartDate: later(event.failedAt, -DAY_MS),
    });
    assert.ok(found.every(({ failedAt }) => failedAt));
  });

  it("all filters must hold", async () => {
    const event = await sent();
    const { Pending, Sent } = EventStatus;
    const time = {
      sentAtStartDate: event.sentAt,
      scheduledEndDate: event.scheduledTime,
    };

    assert.equal(await lists({ ...time, status: Sent }, event), true);
    assert.deepEqual(await getManyEvents({ ...time, status: Pending }), []);
    const scheduledStartDate = later(event.scheduledTime, 1);
    assert.deepEqual(await getManyEvents({ ...time, scheduledStartDate }), []);
  });

  it("what is undefined or empty is no filter", async () => {
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

  it("bounds that are no times are refused by name", async () => {
    for (const filter of ["scheduled", "sentAt", "failedAt"]) {
      for (const end of ["StartDate", "EndDate"]) {
        const name = filter + end;
        const call = getManyEvents({ [name]: "yesterday" });
        await refused(call, 400, `'${name}' must be a valid ISO timestamp`);
      }
    }
  });

  it("unknown statuses are refused", async () => {
    const known = Object.values(EventStatus).map((status) => `'${status}'`);

    for (const status of ["Done", "pending", ["Sent", "Done"]]) {
      const call = getManyEvents({ status });
      const { message } = (await call.catch((err) => err)).body;
      await refused(call, 400, message);
      for (const word of known) assert.ok(message.includes(word), message);
    }
  });

  it("what ended more than seven days ago is not searched", async () => {
    for (const name of ["sentAtStartDate", "failedAtStartDate"]) {
      const message = `${name} is outside of the searchable range`;
      const tooEarly = soon(-7 * DAY_MS - 120_000);
      await refused(getManyEvents({ [name]: tooEarly }), 400, message);
      await getManyEvents({ [name]: soon(-7 * DAY_MS) });
    }
  });

  it("go by scheduled time, then by id, up to a thousand", async () => {
    const [destination, key] = [DEAD_END, foreignApiKey];
    const scheduledStartDate = ownTime();
    const ids = [];
    while (ids.length <= MOST_LISTED) {
      const scheduledTime = ownTime();
      const createOne = () => {
        const data = { payload: "", destination, scheduledTime };
        return request("POST", "/events", { data, key });
      };
      const created = await Promise.all(Array.from({ length: 50 }, createOne));
      const tied = idsOf(created.map(({ data }) => data));
      ids.push(...tied.sort((a, b) => Number(a) - Number(b)));
    }

    const window = new URLSearchParams({
      scheduledStartDate,
      scheduledEndDate: ownTime(),
    });
    const { data } = await request("GET", `/events?${window}`, { key });

    assert.deepEqual(idsOf(data), ids.slice(0, MOST_LISTED));
  });
});
