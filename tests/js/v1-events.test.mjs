// Events: their fields, filters of lists, and all error responses.

import { Application, CONCURRENT, DEAD_END, VERSIONS, inMs } from "./v1.mjs";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const EMAIL = "eventOwner must be an email";
const DATE = "endDate must be a valid ISO 8601 date string";
const CRON = "interval must be a valid cron expression";
const FOUR_FIELDS =
  "the expression has 4 fields and needs 5 fields: minute, hour, day of month, month and day of" +
  " week, or 6 with seconds first";
const URL_ADDRESS = "callbackUrl must be a URL address";

function nextMonth() {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1)).toISOString();
}

async function list(app, query, page) {
  const { data } = await app.call("get", "/events", undefined, { query, ...page });
  return [data.data.map(({ eventId }) => eventId), data.meta.total];
}

for (const axios of VERSIONS) {
  describe(`axios ${axios.VERSION}`, CONCURRENT, () => {
    it("the documented example is accepted and stored unchanged", async () => {
      const app = await new Application(axios).register();
      const body = { ...app.example(), endDate: "2999-09-02T05:11:59.708Z" };

      const answer = await app.call("post", "/events", body);

      const { eventId, status, createdDate, nextRun, options, ...rest } =
        answer.data.data;
      assert.equal(options.timeZone, "UTC");
      assert.equal(answer.status, 201);
      assert.deepEqual(rest, body);
      assert.equal(status, "INACTIVE");
      assert.ok(Date.parse(createdDate) <= Date.now() + 1_000);
      if (new Date().getUTCDate() > 1) assert.equal(nextRun, nextMonth());
      assert.deepEqual(await app.get(eventId), answer.data.data);
      assert.deepEqual(
        await app.callForData("get", `/events/${eventId}`),
        answer.data.data,
      );
    });

    it("every filter selects its events, in pages", async () => {
      const app = await new Application(axios).register();
      const ids = [];
      for (const fields of [
        {},
        { tags: ["prod", "a+b c,d[0]"], context: { user: "12345", list: [7, "x"] } },
        { eventOwner: "o+1@example.com", tags: [], context: { "a.b": { c: 1.5 } } },
        { eventOwner: "o+1@example.com" },
      ])
        ids.push((await app.create(fields)).eventId);
      const [one, two, three, four] = ids;
      const condition = (path, value, type, isArray) => ({ path, value, type, isArray });
      const documented = {
        eventOwner: ["user@example.com"],
        tags: ["prod"],
        context: [condition(["user"], "12345", "Number", false)],
      };

      for (const [query, expected] of [
        [undefined, ids],
        [{}, ids],
        [documented, [one]],
        [{ eventOwner: ["user@example.com"] }, [one, two]],
        [{ eventOwner: ["o+1@example.com", "nobody@example.com"] }, [three, four]],
        [{ eventOwner: [], tags: [], context: [] }, ids],
        [{ eventOwner: undefined, tags: ["a+b c,d[0]"] }, [two]],
        [{ tags: ["a+b c,d[0]", "prod"] }, [one, two, four]],
        [{ tags: ["none"] }, []],
        [{ context: [condition(["user"], "12345", "String")] }, [two]],
        [{ context: [condition(["user"], 12345, "Number")] }, [one, four]],
        [{ context: [condition(["list"], "7", "Number", true)] }, [two]],
        [{ context: [condition(["list"], "7", "Number", false)] }, []],
        [{ context: [condition(["list", "1"], "x", "String")] }, [two]],
        [{ context: [condition(["a.b", "c"], "1.5", "Number")] }, [three]],
        [{ context: [condition(["a", "b", "c"], "1.5", "Number")] }, []],
      ])
        assert.deepEqual(
          await list(app, query),
          [expected, expected.length],
          JSON.stringify(query),
        );

      const tags = { tags: ["prod"] };
      assert.deepEqual(await list(app, tags, { limit: 2 }), [[one, two], 3]);
      assert.deepEqual(await list(app, tags, { limit: 2, offset: 2 }), [[four], 3]);
      assert.deepEqual(await list(app, {}, { limit: 10, offset: 4 }), [[], 4]);
    });

    it("an error response lists all invalid fields", async () => {
      const app = await new Application(axios).register();
      const { eventId } = await app.create();
      const empty = (name) => `${name} should not be empty`;

      await app.rejects(
        400,
        [
          empty("eventOwner"),
          EMAIL,
          empty("endDate"),
          DATE,
          empty("interval"),
          "interval must be a string",
          empty("callbackUrl"),
          URL_ADDRESS,
        ],
        ...["post", "/events", {}],
      );
      for (const [fault, ...messages] of [
        [{ eventOwner: "user" }, EMAIL],
        [{ endDate: "soon" }, DATE],
        [{ endDate: "2023-09-02T05:11:59.708Z" }, "endDate must be in the future"],
        [{ interval: 5 }, "interval must be a string"],
        [{ interval: "* * * *" }, CRON, FOUR_FIELDS],
        [{ interval: "61 * * * * *" }, CRON, "'61' is out of range: the second goes from 0 to 59"],
        [{ callbackUrl: "nowhere" }, URL_ADDRESS],
        [{ context: [] }, "context must be an object"],
        [{ tags: "prod" }, "tags must be an array"],
        [{ tags: [1] }, "each value in tags must be a string"],
        [{ endDate: 1, tags: {} }, DATE, "tags must be an array"],
      ]) {
        const body = { ...app.example(), ...fault };
        await app.rejects(400, messages, "post", "/events", body);
        if (!fault.eventOwner)
          await app.rejects(400, messages, "patch", `/event/${eventId}`, fault);
      }
      for (const [params, ...messages] of [
        [{ limit: -1, offset: "x" }, "limit", "offset"],
        [{ limit: 1.5 }, "limit"],
      ])
        await app.rejects(
          400,
          messages.map((name) => `${name} must be a natural number`),
          ...["get", "/events", undefined, params],
        );
      const query = { context: [{ path: ["a"], value: "x", type: "Number" }] };
      await app.rejects(
        400,
        ["query.context.0.value must be a number"],
        ...["get", "/events", undefined, { query }],
      );
      const { data } = await app.call("get", "/events");
      assert.equal(data.meta.total, 1);
    });

    it("requests without a key and for foreign events are refused", async () => {
      const [app, foreign] = [
        await new Application(axios).register(),
        await new Application(axios).register(),
      ];
      const { eventId } = await app.create({ callbackUrl: DEAD_END });

      const unauthorized = "Please provide a valid API key";
      const unregistered = new Application(axios);
      await unregistered.rejects(401, unauthorized, "get", "/events");
      for (const path of [`/event/${eventId}`, "/event/x"])
        await foreign.rejects(404, "Event not found", "get", path);
      await foreign.rejects(404, "Event not found", "post", `/event/${eventId}/pause`);
      await app.rejects(
        400,
        ["appName already exists"],
        ...["post", "/register", { appName: app.name }],
      );
      await app.rejects(
        400,
        ["appName should not be empty", "appName must be a string"],
        ...["post", "/register", {}],
      );
    });

    it("a finished event cannot be paused or resumed", async () => {
      const app = await new Application(axios).register();
      const { eventId } = await app.create({ endDate: inMs(1_000) });
      while ((await app.get(eventId)).status !== "FINISHED");

      for (const action of ["pause", "resume"])
        await app.rejects(
          400,
          ["a finished event cannot be paused or resumed"],
          ...["post", `/event/${eventId}/${action}`],
        );
    });
  });
}
