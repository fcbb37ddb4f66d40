// Shared by the tests of all dialects: environment variables and waiting.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

export function environment(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with pytest`);
  return value;
}

/** Calls `find` until it returns a truthy value; returns that value. */
export async function waitUntil(find, { withinMs = 20_000 } = {}) {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (performance.now() > deadline)
      assert.fail(`timed out after ${withinMs} ms: ${find}`);
    await pause(25);
  }
}
