// Publishing messages one by one and in batches, and the requests that arrive.

import {
  CONCURRENT,
  DEAD_END,
  ROUNDING_MS,
  assertSigned,
  client,
  decode,
  idsOf,
  isValidFor,
  newDestination,
  receiver,
  rejects,
  request,
  statesOf,
  waitForArrivals,
  waitForLogs,
  waitUntil,
} from "./qstash.mjs";
import { SignatureError } from "@upstash/qstash";
import assert from "node:assert/strict";
import { describe, it } from "node:test";

const BUSY = [503, { "X-Reason": "busy" }, "not now"];

describe("messages", CONCURRENT, () => {
  it("old keys still verify after a rotation", async () => {
    const rotate = () => request("POST", "/v2/keys/rotate");
    const { body: old } = await request("GET", "/v2/keys");
    const { body: first } = await rotate();
    const { body: second } = await rotate();
    const destination = newDestination();
    // A worker reads the signing keys again every few seconds.
    const signedByNewKeys = await waitUntil(async () => {
      const count = destination.arrivals.length;
      await client.publish({ url: destination.url, body: "x" });
      const arrival = (await waitForArrivals(destination, count + 1)).at(-1);
      return (await isValidFor(arrival, second)) && arrival;
    });

    assert.deepEqual([first.current, second.current], [old.next, old.next]);
    assert.equal(new Set([old.current, old.next, first.next, second.next]).size, 4);
    assert.ok(await isValidFor(signedByNewKeys, first));
    for (const arrival of destination.arrivals)
      assert.ok(await isValidFor(arrival, old));
  });

  it("a message is delivered after its delay or at its time", async () => {
    const delayed = newDestination();
    const timed = newDestination();
    const past = newDestination();
    const start = Date.now();
    const notBefore = Math.floor(start / 1000) + 5;

    await client.publish({ url: delayed.url, delay: 1 });
    const { messageId } = await client.publish({
      url: timed.url,
      notBefore,
      delay: "1h",
    });
    const immediate = await client.publish({ url: past.url, notBefore: 1 });

    const [[first], [second]] = await Promise.all(
      [delayed, timed, past].map((destination) => waitForArrivals(destination)),
    );
    assert.ok(first.at >= start + 1_000 - ROUNDING_MS);
    assert.ok(second.at >= notBefore * 1_000 - ROUNDING_MS);
    assert.equal((await client.messages.get(messageId)).notBefore, notBefore * 1_000);
    const message = await client.messages.get(immediate.messageId);
    assert.equal(message.notBefore, message.createdAt);
  });

  it("a receiver can delay the retry by Retry-After", async () => {
    const busy = [429, { "Retry-After": "1" }];
    const destination = newDestination({ answers: [busy, [200]] });

    await client.publish({ url: destination.url, retryDelay: "3600000" });

    const [first, second] = await waitForArrivals(destination, 2);
    assert.ok(second.at - first.at >= 1_000 - ROUNDING_MS);
  });

  it("JSON is delivered unchanged", async () => {
    const destination = newDestination({ suffix: "//a%2Fb/?x=1&y=%2F&x=2" });
    const body = { text: "é😀", n: 1.5 };

    const answer = await client.publishJSON({
      url: destination.url,
      body,
      headers: { "X-Mine": "é" },
      label: ["one", "two"],
      flowControl: { key: "a b", parallelism: 3, rate: 9, period: "1m" },
    });
    const message = await client.messages.get(answer.messageId);

    const [arrival] = await waitForArrivals(destination);
    const { headers } = arrival;
    assert.deepEqual([arrival.method, arrival.url], ["POST", destination.url]);
    assert.equal(arrival.raw.toString(), JSON.stringify(body));
    assert.equal(headers["content-type"], "application/json");
    // Node decodes headers as latin-1.
    assert.equal(headers["x-mine"], "é");
    assert.equal(headers["user-agent"], "Upstash-QStash");
    assert.equal(headers["upstash-message-id"], answer.messageId);
    assert.equal(headers["upstash-retried"], "0");
    assert.equal(headers["upstash-max-retries"], "3");
    assert.equal(headers["upstash-flow-control-key"], "a b");
    const limits = "parallelism=3,rate=9,period=60";
    assert.equal(headers["upstash-flow-control-value"], limits);
    const unwanted = /telemetry|authorization|^upstash-label/;
    assert.deepEqual(
      Object.keys(headers).filter((name) => unwanted.test(name)),
      [],
    );
    await assertSigned(arrival);
    assert.equal(answer.url, destination.url);
    const { createdAt, notBefore, ...rest } = message;
    assert.ok(Number.isInteger(createdAt) && notBefore >= createdAt);
    assert.deepEqual(rest, {
      messageId: answer.messageId,
      url: destination.url,
      method: "POST",
      maxRetries: 3,
      header: { "Content-Type": ["application/json"], "X-Mine": ["é"] },
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
    const destination = newDestination();
    const body = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

    const { messageId } = await client.publish({
      url: destination.url,
      body,
      method: "PUT",
      headers: { "Content-Type": "application/x-mine" },
    });

    const [{ method, raw, headers }] = await waitForArrivals(destination);
    assert.deepEqual([method, raw], ["PUT", body]);
    assert.equal(headers["content-type"], "application/x-mine");
    const message = await client.messages.get(messageId);
    assert.equal(message.bodyBase64, body.toString("base64"));
    assert.equal(message.body, undefined);
  });

  it("a signature is valid for its body, URL and keys only", async () => {
    const destination = newDestination();
    await client.publish({ url: destination.url, body: "body" });
    const [arrival] = await waitForArrivals(destination);
    const signature = arrival.headers["upstash-signature"];

    await assertSigned(arrival);
    for (const [body, url] of [
      ["bodY", destination.url],
      ["body", `${destination.url}/`],
    ]) {
      await assert.rejects(receiver.verify({ signature, body, url }), SignatureError);
    }
    const keys = { current: "sig_" + "0".repeat(28), next: "sig_" + "1".repeat(28) };
    assert.equal(await isValidFor(arrival, keys), false);
  });

  it("a failed attempt is retried after the delay of its expression", async () => {
    const destination = newDestination({ answers: [BUSY, BUSY, [200]] });

    const { messageId } = await client.publish({
      url: destination.url,
      body: "x",
      retries: 5,
      retryDelay: "200 * (1 + retried)",
    });

    const arrivals = await waitForArrivals(destination, 3);
    const [first, second, third] = arrivals.map(({ at }) => at);
    assert.ok(second - first >= 200 - ROUNDING_MS);
    assert.ok(third - second >= 400 - ROUNDING_MS);
    const retried = arrivals.map(({ headers }) => headers["upstash-retried"]);
    assert.deepEqual(retried, ["0", "1", "2"]);
    for (const arrival of arrivals) await assertSigned(arrival);
    const entries = await waitForLogs(messageId, "DELIVERED");
    assert.equal(entries[0].state, "CREATED");
    assert.equal(entries.at(-1).state, "DELIVERED");
    const [failed] = entries.filter(({ state }) => state === "ERROR");
    assert.equal(failed.responseStatus, 503);
    assert.equal(decode(failed.responseBody), "not now");
    assert.ok(failed.nextDeliveryTime > failed.time);
  });

  it("a non-retryable failure is final and calls back", async () => {
    const final = [489, { "Upstash-NonRetryable-Error": "true" }, "never"];
    const destination = newDestination({ answers: [final] });
    const onFailure = newDestination();

    const { messageId } = await client.publish({
      url: destination.url,
      body: "x",
      retryDelay: "1",
      failureCallback: onFailure.url,
    });

    const [callback] = await waitForArrivals(onFailure);
    assert.equal(destination.arrivals.length, 1);
    await assertSigned(callback);
    const body = JSON.parse(callback.raw);
    assert.deepEqual([body.status, decode(body.body)], [489, "never"]);
    assert.equal(body.sourceMessageId, messageId);
    assert.equal(body.dlqId, `${body.notBefore}-${messageId.replace("msg_", "")}`);
    const entries = await waitForLogs(messageId, "FAILED");
    assert.deepEqual(statesOf(entries), ["CREATED", "ACTIVE", "ERROR", "FAILED"]);
  });

  it("callbacks report every attempt and the final failure", async () => {
    const destination = newDestination({ answers: [BUSY] });
    const [onAttempt, onFailure] = [newDestination(), newDestination()];

    const { messageId } = await client.publishJSON({
      url: destination.url,
      body: { a: "é" },
      headers: {
        "X-Mine": "yes",
        "Upstash-Callback-Method": "PUT",
        "Upstash-Callback-Forward-X-Callback": "1",
      },
      retries: 1,
      retryDelay: "100",
      callback: onAttempt.url,
      failureCallback: onFailure.url,
    });

    const callbacks = await waitForArrivals(onAttempt, 2);
    const [failure] = await waitForArrivals(onFailure);
    for (const { method, headers } of callbacks) {
      assert.deepEqual([method, headers["x-callback"]], ["PUT", "1"]);
      assert.notEqual(headers["upstash-message-id"], messageId);
    }
    for (const arrival of [...callbacks, failure]) {
      await assertSigned(arrival);
      const body = JSON.parse(arrival.raw);
      assert.equal(arrival.headers["content-type"], "application/json");
      assert.deepEqual([body.status, body.header["X-Reason"]], [503, ["busy"]]);
      assert.equal(decode(body.body), "not now");
      assert.equal(body.sourceMessageId, messageId);
      assert.deepEqual([body.url, body.method], [destination.url, "POST"]);
      assert.deepEqual(body.sourceHeader["X-Mine"], ["yes"]);
      assert.equal(decode(body.sourceBody), '{"a":"é"}');
      assert.equal(body.maxRetries, 1);
    }
    const bodies = callbacks.map(({ raw }) => JSON.parse(raw));
    assert.deepEqual(bodies.map(({ retried }) => retried).sort(), [0, 1]);
    assert.ok(bodies.every(({ dlqId }) => dlqId === undefined));
    assert.ok(JSON.parse(failure.raw).dlqId);
    assert.equal(destination.arrivals.length, 2);
  });

  it("messages are deduplicated by id or by content", async () => {
    const [byId, byContent] = [newDestination(), newDestination()];
    const deduplicationId = "js a b";

    const first = await client.publish({ url: byId.url, body: "1", deduplicationId });
    const second = await client.publish({ url: byId.url, body: "2", deduplicationId });
    const answers = [];
    for (const body of ["x", "x", "y"]) {
      const contentBasedDeduplication = true;
      answers.push(
        await client.publish({ url: byContent.url, body, contentBasedDeduplication }),
      );
    }

    assert.equal(first.deduplicated, undefined);
    assert.equal(second.deduplicated, true);
    assert.equal(second.messageId, first.messageId);
    assert.equal(answers[1].messageId, answers[0].messageId);
    assert.deepEqual(
      answers.map(({ deduplicated }) => deduplicated ?? false),
      [false, true, false],
    );
    const bodies = (await waitForArrivals(byContent, 2)).map(({ raw }) => `${raw}`);
    assert.deepEqual(bodies.sort(), ["x", "y"]);
    assert.deepEqual(
      (await waitForArrivals(byId)).map(({ raw }) => raw.toString()),
      ["1"],
    );
  });

  it("a batch is answered in order", async () => {
    const [first, second] = [newDestination(), newDestination()];

    const answers = await client.batch([
      { url: first.url, body: "é", method: "PATCH", headers: { X: "1" } },
      { url: "http://", body: "x" },
      { url: second.url, deduplicationId: "in a js batch" },
      { url: second.url, deduplicationId: "in a js batch" },
    ]);
    const [parsed] = await client.batchJSON([{ url: second.url, body: { a: 1 } }]);

    const [{ method, raw, headers }] = await waitForArrivals(first);
    assert.deepEqual([method, raw.toString()], ["PATCH", "é"]);
    assert.equal(headers.x, "1");
    assert.equal(headers["upstash-message-id"], answers[0].messageId);
    assert.equal(answers[0].url, first.url);
    assert.deepEqual(Object.keys(answers[1]).sort(), ["error", "messageId"]);
    assert.equal(answers[3].messageId, answers[2].messageId);
    assert.equal(answers[3].deduplicated, true);
    const ids = (await waitForArrivals(second, 2)).map(
      (arrival) => arrival.headers["upstash-message-id"],
    );
    assert.deepEqual(ids.sort(), idsOf([answers[2], parsed]).sort());
  });

  it("redacted fields are delivered but never shown", async () => {
    const destination = newDestination();

    const { messageId } = await client.publish({
      url: destination.url,
      body: "secret",
      headers: { "X-Key": "secret", "X-Open": "open" },
      redact: { body: true, header: ["X-Key"] },
    });
    const { body, header } = await client.messages.get(messageId);

    const [{ raw, headers }] = await waitForArrivals(destination);
    assert.deepEqual([raw.toString(), headers["x-key"]], ["secret", "secret"]);
    assert.match(body, /^REDACTED:[0-9a-f]{64}$/);
    assert.match(header["X-Key"][0], /^REDACTED:[0-9a-f]{64}$/);
    assert.deepEqual(header["X-Open"], ["open"]);
    for (const entry of await waitForLogs(messageId, "DELIVERED")) {
      assert.doesNotMatch(decode(entry.body) + JSON.stringify(entry.header), /secret/);
    }
  });

  it("errors name the invalid field", async () => {
    const url = DEAD_END;
    const publish = (options) => client.publish({ url, ...options });

    await rejects(publish({ url: "ftp://a/" }), 400, /invalid destination url.*scheme/);
    await rejects(publish({ delay: "soon" }), 400, /^Upstash-Delay/);
    await rejects(publish({ retryDelay: "Date.now()" }), 400, /^Upstash-Retry-Delay/);
    await rejects(publish({ callback: "nowhere" }), 400, /^Upstash-Callback/);
    await rejects(client.publish({ urlGroup: "group" }), 404, /group/);
    for (const id of ["msg_unknown", "unknown"]) {
      await rejects(client.messages.get(id), 404, /./);
      await rejects(client.messages.cancel(id), 404, /./);
    }
  });
});
