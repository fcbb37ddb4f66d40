// Sends a request to each port in the list on standard input, with Node's fetch.
// Prints [status, body in hexadecimal] of each response: null for what was not read.
import { text } from "node:stream/consumers";

const [timeout, parallel] = process.argv.slice(2).map(Number);
const ports = JSON.parse(await text(process.stdin));

async function send(port) {
  let status = null;
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      method: "POST",
      body: "x",
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
    });
    status = response.status;
    const body = Buffer.from(await response.arrayBuffer());
    return [status, body.toString("hex")];
  } catch {
    return [status, null];
  }
}

process.on("uncaughtException", () => {});
const readings = [];
let next = 0;
async function sendRemaining() {
  while (next < ports.length) {
    const index = next++;
    readings[index] = await send(ports[index]);
  }
}
await Promise.all(Array.from({ length: parallel }, sendRemaining));
console.log(JSON.stringify(readings));
process.exit(0);
