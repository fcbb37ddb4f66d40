// Events: create, read, list and edit them, with all error responses.

import {
  CONCURRENT,
  DAY_MS,
  DEAD_END,
  EVENT_KEYS,
  EventStatus,
  ISO,
  MIB,
  cancelled,
  create,
  createEvent,
  editEvent,
  failed,
  foreignApiKey,
  getEvent,
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
  tomorrow,
  uniqueTime,
} from "./jiter.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const BAD_TIME = "Please enter a valid time";
const PAST_TIME = "Please make sure your scheduled time is in the future.";
const BAD_PAYLOAD = "'payload' must be a string";
const BAD_DESTINATION = "Please enter a valid destination";
const BAD_STATUS = "'status' can only be set to 'Cancelled'";
const BAD_BODY = "Invalid request body";
const NOT_FOUND = "Unable to find event";
const NOT_PENDING = "Only events that are pending can be edited";
const TOO_LARGE = "The request body is too large";
const UNAUTHORIZED = "Please provide a valid API key";

const BAD_TIMES = {
  missing: undefined,
  null: null,
  empty: "",
  words: "in five minutes",
  "a number": Date.now() + DAY_MS,
  "a list": [tomorrow()],
  "an impossible day": "2999-02-30T00:00:00Z",
};
const BAD_PAYLOADS = {
  missing: undefined,
  null: null,
  number: 1,
  object: {},
  array: ["x"],
};
const BAD_DESTINATIONS = {
  missing: undefined,
  null: null,
  empty: "",
  "a number": 80,
  "a relative path": "/webhooks/jiter",
  "without a scheme": "example.com/webhooks",
  "without a host": "http:///webhooks",
  "another scheme": "ftp://example.com/webhooks",
  "an email address": "mailto:me@example.com",
  "user information": "http://me:secret@example.com/",
  "a space": "http://example.com/a b",
  "a port out of range": "http://example.com:65536/",
};

describe("events", CONCURRENT, () => {
  it("an event to a closed port fails, with a reason for each attempt", async () => {
    const { history, ...event } = await failed();

    assert.equal(event.status, "Failed To Send");
    assert.deepEqual(keysOf(event), [...EVENT_KEYS, "failedAt"].sort());
    assert.equal(history.length, 4);
    for (const record of history) {
      assert.equal("status" in record, false);
      assert.match(record.responseData, /\w/);
    }
  });

  describe("create and get", () => {
    it("a created event is pending and has the fields that were sent", async () => {
      const scheduledTime = uniqueTime();
      const payload = 'é\u2028😀 \ud83d \u0000 " \\';
      const destination = "http://Example.com:8080//é/%2e?q=%2F&r=1;2#part";

      const event = await createEvent({ payload, scheduledTime, destination });

      const { id, org, createdAt, updatedAt, ...rest } = event;
      assert.deepEqual(rest, {
        payload,
        scheduledTime,
        destination,
        status: "Pending",
      });
      assert.deepEqual(keysOf(event), EVENT_KEYS);
      assert.match(id, /^\d+$/);
      assert.match(org, /^\d+$/);
      assert.match(createdAt, ISO);
      assert.equal(updatedAt, createdAt);
      assert.deepEqual(await getEvent({ id }), { ...event, history: [] });
    });

    it("ids ascend", async () => {
      const [first, second] = [await create(), await create()];

      assert.ok(BigInt(second.id) > BigInt(first.id));
    });

    it("a time may be a Date, have an offset, or have no zone", async () => {
      const date = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + DAY_MS);
      const iso = date.toISOString();
      const withOffset = later(iso, 5.5 * 3_600_000).replace(".000Z", "+05:30");
      const withoutZone = iso.replace("Z", "");

      for (const scheduledTime of [date, withOffset, withoutZone]) {
        const event = await create({ scheduledTime });
        assert.equal(event.scheduledTime, iso);
      }
    });

    it("unknown fields of the body are ignored", async () => {
      const fields = {
        id: "1",
        status: "Sent",
        sentAt: tomorrow(),
        retries: { n: 1e99 },
      };

      const event = await create(fields);

      assert.notEqual(event.id, "1");
      assert.equal(event.status, "Pending");
      assert.deepEqual(keysOf(event), EVENT_KEYS);
    });

    it("a payload may be as large as the limit", async () => {
      const payload = "x".repeat(MIB);

      const { id } = await create({ payload });

      assert.equal((await getEvent({ id })).payload, payload);
      await editEvent({ id, payload: "" });
    });

    it("an unknown id is not found", async () => {
      for (const id of ["0", "999999999999", "9".repeat(40), "-1", "1.0", "abc", "é"]) {
        await rejects(getEvent({ id: encodeURIComponent(id) }), 404, NOT_FOUND);
      }
    });
  });

  describe("a refused create stores nothing", () => {
    const isStored = async (destination) => {
      const all = await getManyEvents();
      return all.some((event) => event.destination === destination);
    };

    for (const [name, scheduledTime] of Object.entries(BAD_TIMES)) {
      it(`bad time: ${name}`, async () => {
        const destination = `${DEAD_END}/bad-time/${encodeURIComponent(name)}`;

        await rejects(create({ scheduledTime, destination }), 400, BAD_TIME);

        assert.equal(await isStored(destination), false);
      });
    }

    for (const agoMs of [1_000, 365 * DAY_MS]) {
      it(`a time ${agoMs / 1_000} s ago`, async () => {
        const destination = `${DEAD_END}/ago/${agoMs}`;
        const scheduledTime = soon(-agoMs);

        await rejects(create({ scheduledTime, destination }), 400, PAST_TIME);

        assert.equal(await isStored(destination), false);
      });
    }

    for (const [name, payload] of Object.entries(BAD_PAYLOADS)) {
      it(`bad payload: ${name}`, async () => {
        const scheduledTime = uniqueTime();

        await rejects(create({ scheduledTime, payload }), 400, BAD_PAYLOAD);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    for (const [name, destination] of Object.entries(BAD_DESTINATIONS)) {
      it(`bad destination: ${name}`, async () => {
        const scheduledTime = uniqueTime();

        await rejects(create({ scheduledTime, destination }), 400, BAD_DESTINATION);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    it("of several errors the time is reported first, then the payload", async () => {
      const [payload, destination] = [1, "nowhere"];

      await rejects(
        create({ scheduledTime: "?", payload, destination }),
        400,
        BAD_TIME,
      );
      const scheduledTime = soon(-1_000);
      await rejects(create({ scheduledTime, payload, destination }), 400, PAST_TIME);
      await rejects(create({ payload, destination }), 400, BAD_PAYLOAD);
    });

    const bytes = {
      "one byte more than the limit": MIB + 1,
      "many more bytes": 8 * MIB,
    };
    for (const [name, length] of Object.entries(bytes)) {
      it(`a payload of ${name}`, async () => {
        const scheduledTime = uniqueTime();
        const payload = "x".repeat(length);

        await rejects(create({ scheduledTime, payload }), 413, TOO_LARGE);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    it("the size of a payload is counted in bytes", async () => {
      await rejects(create({ payload: "é".repeat(MIB / 2 + 1) }), 413, TOO_LARGE);
    });

    it("a body that is not a JSON object", async () => {
      const valid = JSON.stringify({
        payload: "",
        scheduledTime: tomorrow(),
        destination: `${DEAD_END}/no-object`,
      });
      const headers = { "content-type": "application/json" };
      for (const body of [
        valid.slice(0, -1),
        `[${valid}]`,
        '"text"',
        "null",
        "1",
        "",
      ]) {
        const data = Buffer.from(body);
        await rejects(request("POST", "/events", { data, headers }), 400, BAD_BODY);
      }

      assert.equal(await isStored(`${DEAD_END}/no-object`), false);
    });

    it("a missing or an unknown key", async () => {
      const scheduledTime = uniqueTime();
      const data = { payload: "", destination: DEAD_END, scheduledTime };
      const { id } = await pending();

      const edit = { status: EventStatus.Cancelled };
      for (const key of [null, "", "unknown", foreignApiKey.slice(0, -1)]) {
        const calls = [
          request("POST", "/events", { data, key }),
          request("GET", "/events", { key }),
          request("GET", `/events/${id}`, { key }),
          request("PUT", `/events/${id}`, { data: edit, key }),
        ];
        await Promise.all(calls.map((call) => rejects(call, 401, UNAUTHORIZED)));
      }

      assert.deepEqual(await listedAt(scheduledTime), []);
      assert.equal((await getEvent({ id })).status, "Pending");
    });
  });

  describe("transport", () => {
    it("another org cannot see or change an event", async () => {
      const { id } = await pending();
      const key = foreignApiKey;
      const data = { status: EventStatus.Cancelled };

      await rejects(request("GET", `/events/${id}`, { key }), 404, NOT_FOUND);
      await rejects(request("PUT", `/events/${id}`, { key, data }), 404, NOT_FOUND);
      const { data: theirs } = await request("GET", "/events", { key });
      assert.equal(idsOf(theirs).includes(id), false);
      assert.equal((await getEvent({ id })).status, "Pending");
    });

    it("every successful response is 200 and JSON", async () => {
      const data = { payload: "", destination: DEAD_END, scheduledTime: uniqueTime() };

      const created = await request("POST", "/events", { data });
      const url = `/events/${created.data.id}`;
      const edited = await request("PUT", url, { data: { payload: "x" } });
      const answers = [created, edited, await request("GET", url)];

      for (const { status, headers } of [...answers, await request("GET", "/events")]) {
        assert.equal(status, 200);
        assert.match(headers["content-type"], /^application\/json\b/);
      }
    });

    it("the API key header is case-insensitive", async () => {
      const { id } = await pending();
      const headers = { "X-API-KEY": process.env.JITER_API_KEY };

      const { data } = await request("GET", `/events/${id}`, { headers, key: null });

      assert.equal(data.id, id);
    });

    it("a GET may have a content type, and a path may end with a slash", async () => {
      const { id } = await pending();
      const headers = { "Content-Type": "application/json" };

      const { data } = await request("GET", `/events/${id}/`, { headers, data: "" });

      assert.equal(data.id, id);
      assert.ok(Array.isArray((await request("GET", "/events/")).data));
    });

    it("404 and 405 of the server have a message", async () => {
      await rejects(request("GET", "/nothing"), 404, "Not Found");
      await rejects(request("PATCH", "/events"), 405, "Method Not Allowed: use GET or POST");
    });
  });

  describe("edit", () => {
    it("changes only the fields it names", async () => {
      const event = await create();
      const { id } = event;

      const first = await editEvent({ id, payload: "é" });
      const second = await editEvent({ id, destination: `${DEAD_END}/other` });

      const { updatedAt } = first;
      assert.ok(updatedAt >= event.updatedAt);
      assert.deepEqual(first, { ...event, payload: "é", updatedAt });
      const { destination } = second;
      assert.equal(destination, `${DEAD_END}/other`);
      assert.deepEqual(second, { ...first, destination, updatedAt: second.updatedAt });
      assert.deepEqual(await getEvent({ id }), { ...second, history: [] });
    });

    it("changes payload, destination and status together", async () => {
      const event = await create();
      const changes = {
        payload: "é",
        destination: `${DEAD_END}/other`,
        status: "Cancelled",
      };

      const edited = await editEvent({ id: event.id, ...changes });

      assert.deepEqual(edited, { ...event, ...changes, updatedAt: edited.updatedAt });
    });

    it("changes the time of an event, also in lists", async () => {
      const { id, scheduledTime: before } = await create();
      const scheduledTime = uniqueTime();

      await request("PUT", `/events/${id}`, { data: { scheduledTime } });

      assert.deepEqual(await listedAt(before), []);
      assert.deepEqual(idsOf(await listedAt(scheduledTime)), [id]);
    });

    it("without known fields changes nothing", async () => {
      const event = await create();

      const edited = await editEvent({ id: event.id, sentAt: tomorrow(), org: "0" });

      assert.deepEqual(edited, { ...event, updatedAt: edited.updatedAt });
    });

    const faults = [
      [{ status: "Sent" }, BAD_STATUS],
      [{ status: "Pending" }, BAD_STATUS],
      [{ status: "cancelled" }, BAD_STATUS],
      [{ status: null }, BAD_STATUS],
      [{ payload: {} }, BAD_PAYLOAD],
      [{ payload: null }, BAD_PAYLOAD],
      [{ destination: "nowhere" }, BAD_DESTINATION],
      [{ destination: null }, BAD_DESTINATION],
      [{ scheduledTime: "soon" }, BAD_TIME],
      [{ scheduledTime: null }, BAD_TIME],
      [{ scheduledTime: "2020-01-01T00:00:00.000Z" }, PAST_TIME],
    ];
    for (const [fault, message] of faults) {
      it(`${JSON.stringify(fault)} is refused, and changes nothing`, async () => {
        const { id, ...event } = await create();
        const valid = { payload: "new", destination: `${DEAD_END}/new` };
        const data = { ...valid, status: "Cancelled", ...fault };

        await rejects(request("PUT", `/events/${id}`, { data }), 400, message);

        assert.deepEqual(await getEvent({ id }), { id, ...event, history: [] });
      });
    }

    it("with a payload over the limit is refused, and changes nothing", async () => {
      const { id, ...event } = await create();

      await rejects(editEvent({ id, payload: "x".repeat(MIB + 1) }), 413, TOO_LARGE);

      assert.deepEqual(await getEvent({ id }), { id, ...event, history: [] });
    });

    it("is refused for events that are not pending", async () => {
      for (const { id, status } of await Promise.all([sent(), cancelled(), failed()])) {
        for (const change of [{ payload: "x" }, { status: EventStatus.Cancelled }]) {
          await rejects(editEvent({ id, ...change }), 400, NOT_PENDING);
        }
        assert.equal((await getEvent({ id })).status, status);
      }
    });

    it("of an unknown id is not found", async () => {
      for (const id of ["0", "999999999999", "abc"]) {
        await rejects(editEvent({ id, payload: "x" }), 404, NOT_FOUND);
      }
    });
  });
});
