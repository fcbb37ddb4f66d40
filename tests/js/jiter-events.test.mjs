// Events as clients create, read, list and edit them, and all that they are told when
// something is wrong.

import {
  CONCURRENTLY,
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
  ownTime,
  pending,
  refused,
  request,
  sent,
  soon,
  tomorrow,
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

const NO_TIMES = {
  missing: undefined,
  null: null,
  empty: "",
  words: "in five minutes",
  "a number": Date.now() + DAY_MS,
  "a list": [tomorrow()],
  "an impossible day": "2999-02-30T00:00:00Z",
};
const NO_PAYLOADS = {
  missing: undefined,
  null: null,
  number: 1,
  object: {},
  array: ["x"],
};
const NO_DESTINATIONS = {
  missing: undefined,
  null: null,
  empty: "",
  "a number": 80,
  "a relative path": "/webhooks/jiter",
  "without a scheme": "example.com/webhooks",
  "without a host": "http:///webhooks",
  "another scheme": "ftp://example.com/webhooks",
  "a mail address": "mailto:me@example.com",
  "a user before the host": "http://me:secret@example.com/",
  "a blank": "http://example.com/a b",
  "a port beyond all ports": "http://example.com:65536/",
};

describe("events", CONCURRENTLY, () => {
  it("an event that nobody takes fails, with a reason for each attempt", async () => {
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
    it("a created event is pending, and shown as it was sent", async () => {
      const scheduledTime = ownTime();
      const payload = 'é\u2028😀 \ud83d \u0000 " \\';
      const destination = "http://Example.com:8080//é/%2e?q=%2F&r=1;2#part";

      const event = await createEvent({ payload, scheduledTime, destination });

      const { id, org, createdAt, updatedAt, ...shown } = event;
      assert.deepEqual(shown, {
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

    it("a Date is a time, and so is one with an offset or without a zone", async () => {
      const whole = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + DAY_MS);
      const iso = whole.toISOString();
      const local = later(iso, 5.5 * 3_600_000).replace(".000Z", "+05:30");
      const bare = iso.replace("Z", "");

      for (const scheduledTime of [whole, local, bare]) {
        const event = await create({ scheduledTime });
        assert.equal(event.scheduledTime, iso);
      }
    });

    it("unknown fields of the body are ignored", async () => {
      const words = {
        id: "1",
        status: "Sent",
        sentAt: tomorrow(),
        retries: { n: 1e99 },
      };

      const event = await create(words);

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

    it("no event has another id", async () => {
      for (const id of ["0", "999999999999", "9".repeat(40), "-1", "1.0", "abc", "é"]) {
        await refused(getEvent({ id: encodeURIComponent(id) }), 404, NOT_FOUND);
      }
    });
  });

  describe("refusals to create store nothing", () => {
    const isStored = async (destination) => {
      const all = await getManyEvents();
      return all.some((event) => event.destination === destination);
    };

    for (const [name, scheduledTime] of Object.entries(NO_TIMES)) {
      it(`no time: ${name}`, async () => {
        const destination = `${DEAD_END}/no-time/${encodeURIComponent(name)}`;

        await refused(create({ scheduledTime, destination }), 400, BAD_TIME);

        assert.equal(await isStored(destination), false);
      });
    }

    for (const agoMs of [1_000, 365 * DAY_MS]) {
      it(`a time ${agoMs / 1_000} s ago`, async () => {
        const destination = `${DEAD_END}/ago/${agoMs}`;
        const scheduledTime = soon(-agoMs);

        await refused(create({ scheduledTime, destination }), 400, PAST_TIME);

        assert.equal(await isStored(destination), false);
      });
    }

    for (const [name, payload] of Object.entries(NO_PAYLOADS)) {
      it(`no payload: ${name}`, async () => {
        const scheduledTime = ownTime();

        await refused(create({ scheduledTime, payload }), 400, BAD_PAYLOAD);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    for (const [name, destination] of Object.entries(NO_DESTINATIONS)) {
      it(`no destination: ${name}`, async () => {
        const scheduledTime = ownTime();

        await refused(create({ scheduledTime, destination }), 400, BAD_DESTINATION);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    it("of several faults the time is told first, then the payload", async () => {
      const [payload, destination] = [1, "nowhere"];

      await refused(
        create({ scheduledTime: "?", payload, destination }),
        400,
        BAD_TIME,
      );
      const scheduledTime = soon(-1_000);
      await refused(create({ scheduledTime, payload, destination }), 400, PAST_TIME);
      await refused(create({ payload, destination }), 400, BAD_PAYLOAD);
    });

    const bytes = {
      "one byte more than the limit": MIB + 1,
      "many more bytes": 8 * MIB,
    };
    for (const [name, length] of Object.entries(bytes)) {
      it(`a payload of ${name}`, async () => {
        const scheduledTime = ownTime();
        const payload = "x".repeat(length);

        await refused(create({ scheduledTime, payload }), 413, TOO_LARGE);

        assert.deepEqual(await listedAt(scheduledTime), []);
      });
    }

    it("a payload counts in bytes", async () => {
      await refused(create({ payload: "é".repeat(MIB / 2 + 1) }), 413, TOO_LARGE);
    });

    it("a body that is no JSON object", async () => {
      const whole = JSON.stringify({
        payload: "",
        scheduledTime: tomorrow(),
        destination: `${DEAD_END}/no-object`,
      });
      const headers = { "content-type": "application/json" };
      for (const body of [
        whole.slice(0, -1),
        `[${whole}]`,
        '"text"',
        "null",
        "1",
        "",
      ]) {
        const data = Buffer.from(body);
        await refused(request("POST", "/events", { data, headers }), 400, BAD_BODY);
      }

      assert.equal(await isStored(`${DEAD_END}/no-object`), false);
    });

    it("a missing or an unknown key", async () => {
      const scheduledTime = ownTime();
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
        await Promise.all(calls.map((call) => refused(call, 401, UNAUTHORIZED)));
      }

      assert.deepEqual(await listedAt(scheduledTime), []);
      assert.equal((await getEvent({ id })).status, "Pending");
    });
  });

  describe("transport", () => {
    it("another org sees and changes nothing of ours", async () => {
      const { id } = await pending();
      const key = foreignApiKey;
      const data = { status: EventStatus.Cancelled };

      await refused(request("GET", `/events/${id}`, { key }), 404, NOT_FOUND);
      await refused(request("PUT", `/events/${id}`, { key, data }), 404, NOT_FOUND);
      const { data: theirs } = await request("GET", "/events", { key });
      assert.equal(idsOf(theirs).includes(id), false);
      assert.equal((await getEvent({ id })).status, "Pending");
    });

    it("success is 200 for every method, and JSON", async () => {
      const data = { payload: "", destination: DEAD_END, scheduledTime: ownTime() };

      const created = await request("POST", "/events", { data });
      const url = `/events/${created.data.id}`;
      const edited = await request("PUT", url, { data: { payload: "x" } });
      const answers = [created, edited, await request("GET", url)];

      for (const { status, headers } of [...answers, await request("GET", "/events")]) {
        assert.equal(status, 200);
        assert.match(headers["content-type"], /^application\/json\b/);
      }
    });

    it("the key's header may be written in any case", async () => {
      const { id } = await pending();
      const headers = { "X-API-KEY": process.env.JITER_API_KEY };

      const shown = await request("GET", `/events/${id}`, { headers, key: null });

      assert.equal(shown.data.id, id);
    });

    it("a GET may name a content type, a path may end with a slash", async () => {
      const { id } = await pending();
      const headers = { "Content-Type": "application/json" };

      const shown = await request("GET", `/events/${id}/`, { headers, data: "" });

      assert.equal(shown.data.id, id);
      assert.ok(Array.isArray((await request("GET", "/events/")).data));
    });

    it("errors of the server itself have a message too", async () => {
      await refused(request("GET", "/nothing"), 404, "Not Found");
      await refused(request("PATCH", "/events"), 405, "Method Not Allowed");
    });
  });

  describe("edit", () => {
    it("changes what it names, and no more", async () => {
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
      const words = {
        payload: "é",
        destination: `${DEAD_END}/other`,
        status: "Cancelled",
      };

      const edited = await editEvent({ id: event.id, ...words });

      assert.deepEqual(edited, { ...event, ...words, updatedAt: edited.updatedAt });
    });

    it("moves an event, in lists too", async () => {
      const { id, scheduledTime: before } = await create();
      const scheduledTime = ownTime();

      await request("PUT", `/events/${id}`, { data: { scheduledTime } });

      assert.deepEqual(await listedAt(before), []);
      assert.deepEqual(idsOf(await listedAt(scheduledTime)), [id]);
    });

    it("of nothing, or of unknown fields, changes nothing", async () => {
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

        await refused(request("PUT", `/events/${id}`, { data }), 400, message);

        assert.deepEqual(await getEvent({ id }), { id, ...event, history: [] });
      });
    }

    it("to a payload over the limit is refused, and changes nothing", async () => {
      const { id, ...event } = await create();

      await refused(editEvent({ id, payload: "x".repeat(MIB + 1) }), 413, TOO_LARGE);

      assert.deepEqual(await getEvent({ id }), { id, ...event, history: [] });
    });

    it("is refused for all that is not pending", async () => {
      for (const { id, status } of await Promise.all([sent(), cancelled(), failed()])) {
        for (const change of [{ payload: "x" }, { status: EventStatus.Cancelled }]) {
          await refused(editEvent({ id, ...change }), 400, NOT_PENDING);
        }
        assert.equal((await getEvent({ id })).status, status);
      }
    });

    it("finds no event by another id", async () => {
      for (const id of ["0", "999999999999", "abc"]) {
        await refused(editEvent({ id, payload: "x" }), 404, NOT_FOUND);
      }
    });
  });
});
