// Reads the cron cases with JavaScript libraries, as cron_readers.py does with those of
// Python. `cron_scores.py` copies it to where the libraries are.
import { readFileSync } from "node:fs";
import { CronExpressionParser } from "cron-parser";
import { Cron } from "croner";

const COUNT = 5;

const READERS = {
  "cron-parser": ({ expression, tz, start }) =>
    CronExpressionParser.parse(expression, { currentDate: new Date(start), tz })
      .take(COUNT)
      .map((date) => date.getTime()),
  croner: ({ expression, tz, start }) =>
    new Cron(expression, { timezone: tz }).nextRuns(COUNT, new Date(start)).map(Number),
};

function answer(read, each) {
  try {
    const times = read(each);
    return times.length ? times : null;
  } catch {
    return null;
  }
}

function version(name) {
  return JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
}

const cases = JSON.parse(readFileSync(0));
const readings = Object.entries(READERS).map(([name, read]) => [
  `${name} ${version(name)}`,
  Object.fromEntries(cases.map((each) => [each.id, answer(read, each)])),
]);
process.stdout.write(JSON.stringify(Object.fromEntries(readings)));
