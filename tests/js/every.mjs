// What the tests of every dialect use: what pytest has told them, and waiting.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

export function environment(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with pytest`);
  return value;
}

/** Waits until an attempt finds something, and returns it. */
export async function until(attempt, { withinMs = 20_000 } = {}) {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await attempt();
    if (found) return found;
    if (performance.now() > deadline)
      assert.fail(`not within ${withinMs} ms: ${attempt}`);
    await pause(25);
  }
}
