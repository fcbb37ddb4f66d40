// Messages as clients publish them, one by one and in batches, and what arrives.

import {
  CONCURRENTLY,
  DEAD_END,
  ROUNDING_MS,
  arrived,
  client,
  idsOf,
  isTaken,
  logged,
  receiver,
  refused,
  request,
  spot,
  statesOf,
  text,
  until,
  verify,
} from "./qstash.mjs";
import { SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const BUSY = [503, { "X-Why": "busy" }, "not now"];

describe("messages", CONCURRENTLY, () => {
  it("old keys still verify after a rotation", async () => {
    const rotate = () => request("POST", "/v2/keys/rotate");
    const { body: old } = await request("GET", "/v2/keys");
    const { body: first } = await rotate();
    const { body: second } = await rotate();
    const to = spot();
    // A worker looks for new keys every few seconds.
    const anew = await until(async () => {
      const count = to.arrivals.length;
      await client.publish({ url: to.url, body: "x" });
      const arrival = (await arrived(to, count + 1)).at(-1);
      return (await isTaken(arrival, second)) && arrival;
    });

    assert.deepEqual([first.current, second.current], [old.next, old.next]);
    assert.equal(new Set([old.current, old.next, first.next, second.next]).size, 4);
    assert.ok(await isTaken(anew, first));
    for (const arrival of to.arrivals) assert.ok(await isTaken(arrival, old));
  });

  it("a message waits for its delay or its time", async () => {
    const [delayed, timed, past] = [spot(), spot(), spot()];
    const start = Date.now();
    const notBefore = Math.floor(start / 1000) + 5;

    await client.publish({ url: delayed.url, delay: 1 });
    const { messageId } = await client.publish({
      url: timed.url,
      notBefore,
      delay: "1h",
    });
    const atOnce = await client.publish({ url: past.url, notBefore: 1 });

    const [[first], [second]] = await Promise.all(
      [delayed, timed, past].map((to) => arrived(to)),
    );
    assert.ok(first.at >= start + 1_000 - ROUNDING_MS);
    assert.ok(second.at >= notBefore * 1_000 - ROUNDING_MS);
    assert.equal((await client.messages.get(messageId)).notBefore, notBefore * 1_000);
    const message = await client.messages.get(atOnce.messageId);
    assert.equal(message.notBefore, message.createdAt);
  });

  it("a receiver says when to come back", async () => {
    const until = [429, { "Retry-After": "1" }];
    const to = spot({ answers: [until, [200]] });

    await client.publish({ url: to.url, retryDelay: "3600000" });

    const [first, second] = await arrived(to, 2);
    assert.ok(second.at - first.at >= 1_000 - ROUNDING_MS);
  });

  it("JSON is delivered as it was published", async () => {
    const to = spot({ under: "//a%2Fb/?x=1&y=%2F&x=2" });
    const body = { text: "é😀", n: 1.5 };

    const answer = await client.publishJSON({
      url: to.url,
      body,
      headers: { "X-Mine": "yes" },
      label: ["one", "two"],
      flowControl: { key: "a b", parallelism: 3, rate: 9, period: "1m" },
    });
    const message = await client.messages.get(answer.messageId);

    const [arrival] = await arrived(to);
    const { headers } = arrival;
    assert.deepEqual([arrival.method, arrival.url], ["POST", to.url]);
    assert.equal(arrival.raw.toString(), JSON.stringify(body));
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["x-mine"], "yes");
    assert.equal(headers["user-agent"], "Upstash-QStash");
    assert.equal(headers["upstash-message-id"], answer.messageId);
    assert.equal(headers["upstash-retried"], "0");
    const unwanted = /telemetry|authorization|flow-control|^upstash-label/;
    assert.deepEqual(
      Object.keys(headers).filter((name) => unwanted.test(name)),
      [],
    );
    await verify(arrival);
    assert.equal(answer.url, to.url);
    const { createdAt, notBefore, ...shown } = message;
    assert.ok(Number.isInteger(createdAt) && notBefore >= createdAt);
    assert.deepEqual(shown, {
      messageId: answer.messageId,
      url: to.url,
      method: "POST",
      maxRetries: 3,
      header: { "Content-Type": ["application/json"], "X-Mine": ["yes"] },
      body: JSON.stringify(body),
      callerIP: "127.0.0.1",
      label: "one",
      labels: ["one", "two"],
      flowControlKey: "a b",
      parallelism: 3,
      rate: 9,
      ratePerSecond: 9,
      period: 60,
      urlGroup: undefined,
    });
  });

  it("bytes are delivered unchanged", async () => {
    const to = spot();
    const body = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

    const { messageId } = await client.publish({
      url: to.url,
      body,
      method: "PUT",
      headers: { "Content-Type": "application/x-mine" },
    });

    const [{ method, raw, headers }] = await arrived(to);
    assert.deepEqual([method, raw], ["PUT", body]);
    assert.equal(headers["content-type"], "application/x-mine");
    const message = await client.messages.get(messageId);
    assert.equal(message.bodyBase64, body.toString("base64"));
    assert.equal(message.body, undefined);
  });

  it("a signature holds for its body and its URL only", async () => {
    const to = spot();
    await client.publish({ url: to.url, body: "body" });
    const [arrival] = await arrived(to);
    const signature = arrival.headers["upstash-signature"];

    await verify(arrival);
    for (const [body, url] of [
      ["bodY", to.url],
      ["body", `${to.url}/`],
    ]) {
      await assert.rejects(receiver.verify({ signature, body, url }), SignatureError);
    }
    const keys = { current: "sig_" + "0".repeat(28), next: "sig_" + "1".repeat(28) };
    assert.equal(await isTaken(arrival, keys), false);
  });

  it("a failed attempt is repeated after what the expression says", async () => {
    const to = spot({ answers: [BUSY, BUSY, [200]] });

    const { messageId } = await client.publish({
      url: to.url,
      body: "x",
      retries: 5,
      retryDelay: "200 * (1 + retried)",
    });

    const arrivals = await arrived(to, 3);
    const [first, second, third] = arrivals.map(({ at }) => at);
    assert.ok(second - first >= 200 - ROUNDING_MS);
    assert.ok(third - second >= 400 - ROUNDING_MS);
    const told = arrivals.map(({ headers }) => headers["upstash-retried"]);
    assert.deepEqual(told, ["0", "1", "2"]);
    for (const arrival of arrivals) await verify(arrival);
    const entries = await logged(messageId, "DELIVERED");
    assert.equal(entries[0].state, "CREATED");
    assert.equal(entries.at(-1).state, "DELIVERED");
    const [failed] = entries.filter(({ state }) => state === "ERROR");
    assert.equal(failed.responseStatus, 503);
    assert.equal(text(failed.responseBody), "not now");
    assert.ok(failed.nextDeliveryTime > failed.time);
  });

  it("some failures are final and told", async () => {
    const final = [489, { "Upstash-NonRetryable-Error": "true" }, "never"];
    const [to, told] = [spot({ answers: [final] }), spot()];

    const { messageId } = await client.publish({
      url: to.url,
      body: "x",
      retryDelay: "1",
      failureCallback: told.url,
    });

    const [callback] = await arrived(told);
    assert.equal(to.arrivals.length, 1);
    await verify(callback);
    const body = JSON.parse(callback.raw);
    assert.deepEqual([body.status, text(body.body)], [489, "never"]);
    assert.equal(body.sourceMessageId, messageId);
    assert.equal(body.dlqId, `${body.notBefore}-${messageId.replace("msg_", "")}`);
    const entries = await logged(messageId, "FAILED");
    assert.deepEqual(statesOf(entries), ["CREATED", "ACTIVE", "ERROR", "FAILED"]);
  });

  it("callbacks tell every attempt, and the failure once", async () => {
    const [to, every, failed] = [spot({ answers: [BUSY] }), spot(), spot()];

    const { messageId } = await client.publishJSON({
      url: to.url,
      body: { a: "é" },
      headers: {
        "X-Mine": "yes",
        "Upstash-Callback-Method": "PUT",
        "Upstash-Callback-Forward-X-Told": "1",
      },
      retries: 1,
      retryDelay: "100",
      callback: every.url,
      failureCallback: failed.url,
    });

    const tellings = await arrived(every, 2);
    const [failure] = await arrived(failed);
    for (const telling of tellings) {
      const { method, headers } = telling;
      assert.deepEqual([method, headers["x-told"]], ["PUT", "1"]);
      assert.notEqual(headers["upstash-message-id"], messageId);
    }
    for (const arrival of [...tellings, failure]) {
      await verify(arrival);
      const body = JSON.parse(arrival.raw);
      assert.equal(arrival.headers["content-type"], "application/json");
      assert.deepEqual([body.status, body.header["X-Why"]], [503, ["busy"]]);
      assert.equal(text(body.body), "not now");
      assert.equal(body.sourceMessageId, messageId);
      assert.deepEqual([body.url, body.method], [to.url, "POST"]);
      assert.deepEqual(body.sourceHeader["X-Mine"], ["yes"]);
      assert.equal(text(body.sourceBody), '{"a":"é"}');
      assert.equal(body.maxRetries, 1);
    }
    const bodies = tellings.map(({ raw }) => JSON.parse(raw));
    assert.deepEqual(bodies.map(({ retried }) => retried).sort(), [0, 1]);
    assert.ok(bodies.every(({ dlqId }) => dlqId === undefined));
    assert.ok(JSON.parse(failure.raw).dlqId);
    assert.equal(to.arrivals.length, 2);
  });

  it("a message is published once by its id or its content", async () => {
    const [named, same] = [spot(), spot()];
    const deduplicationId = "js a b";

    const first = await client.publish({ url: named.url, body: "1", deduplicationId });
    const again = await client.publish({ url: named.url, body: "2", deduplicationId });
    const contents = [];
    for (const body of ["x", "x", "y"]) {
      const contentBasedDeduplication = true;
      contents.push(
        await client.publish({ url: same.url, body, contentBasedDeduplication }),
      );
    }

    assert.equal(first.deduplicated, undefined);
    assert.equal(again.deduplicated, true);
    assert.equal(again.messageId, first.messageId);
    assert.equal(contents[1].messageId, contents[0].messageId);
    assert.deepEqual(
      contents.map(({ deduplicated }) => deduplicated ?? false),
      [false, true, false],
    );
    const bodies = (await arrived(same, 2)).map(({ raw }) => raw.toString());
    assert.deepEqual(bodies.sort(), ["x", "y"]);
    assert.deepEqual(
      (await arrived(named)).map(({ raw }) => raw.toString()),
      ["1"],
    );
  });

  it("a batch is answered in order", async () => {
    const [first, second] = [spot(), spot()];

    const answers = await client.batch([
      { url: first.url, body: "é", method: "PATCH", headers: { X: "1" } },
      { url: "http://", body: "x" },
      { url: second.url, deduplicationId: "in a js batch" },
      { url: second.url, deduplicationId: "in a js batch" },
    ]);
    const [parsed] = await client.batchJSON([{ url: second.url, body: { a: 1 } }]);

    const [{ method, raw, headers }] = await arrived(first);
    assert.deepEqual([method, raw.toString()], ["PATCH", "é"]);
    assert.equal(headers.x, "1");
    assert.equal(headers["upstash-message-id"], answers[0].messageId);
    assert.equal(answers[0].url, first.url);
    assert.deepEqual(Object.keys(answers[1]).sort(), ["error", "messageId"]);
    assert.equal(answers[3].messageId, answers[2].messageId);
    assert.equal(answers[3].deduplicated, true);
    const ids = (await arrived(second, 2)).map(
      (arrival) => arrival.headers["upstash-message-id"],
    );
    assert.deepEqual(ids.sort(), idsOf([answers[2], parsed]).sort());
  });

  it("what is redacted is delivered and never shown", async () => {
    const to = spot();

    const { messageId } = await client.publish({
      url: to.url,
      body: "secret",
      headers: { "X-Key": "secret", "X-Open": "open" },
      redact: { body: true, header: ["X-Key"] },
    });
    const { body, header } = await client.messages.get(messageId);

    const [{ raw, headers }] = await arrived(to);
    assert.deepEqual([raw.toString(), headers["x-key"]], ["secret", "secret"]);
    assert.match(body, /^REDACTED:[0-9a-f]{64}$/);
    assert.match(header["X-Key"][0], /^REDACTED:[0-9a-f]{64}$/);
    assert.deepEqual(header["X-Open"], ["open"]);
    for (const entry of await logged(messageId, "DELIVERED")) {
      assert.doesNotMatch(text(entry.body) + JSON.stringify(entry.header), /secret/);
    }
  });

  it("what is wrong is named", async () => {
    const url = DEAD_END;
    const publish = (words) => client.publish({ url, ...words });

    await refused(publish({ url: "ftp://a/" }), 400, /invalid destination url.*scheme/);
    await refused(publish({ delay: "soon" }), 400, /^Upstash-Delay/);
    await refused(publish({ retryDelay: "Date.now()" }), 400, /^Upstash-Retry-Delay/);
    await refused(publish({ callback: "nowhere" }), 400, /^Upstash-Callback/);
    await refused(client.publish({ urlGroup: "group" }), 404, /group/);
    for (const id of ["msg_unknown", "unknown"]) {
      await refused(client.messages.get(id), 404, /./);
      await refused(client.messages.cancel(id), 404, /./);
    }
  });
});
