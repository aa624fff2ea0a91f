/** @file The process in which parsers read spoiled inputs: if one hangs or ends it, whoever started it sees which. */
import { hostileParsers, isRefusal } from "./hostile-parser.js";
import { caseRandom } from "./mutation.js";

export interface HostileReadingJob {
  cases: number;
  /** Of parsers that take a millisecond a case. */
  slowCases: number;
  seed: number;
}

export interface ParserReport {
  parser: string;
  cases: number;
  refused: number;
  seconds: number;
  /** Of the processor, so that other work on the machine counts for nothing. */
  slowestMs: number;
  /** Case numbers with what was thrown, some of them. */
  crashes: string[];
  crashCount: number;
  /** What a whole process let slip. */
  slips: number;
}

const job = JSON.parse(process.argv[2]) as HostileReadingJob;
let slips = 0;
process.on("unhandledRejection", () => slips++);
process.on("uncaughtException", () => slips++);

/** Cases between two turns of the loop of events. */
const TURN = 1000;

const { seed } = job;
const asked = () => new Promise((resolve) => process.once("message", resolve));
const parsers = await hostileParsers();
process.send?.({ ready: parsers.map(({ name }) => name) });
// One at a time, as it is asked: so whoever asked knows which one was at it.
for (const parser of parsers) {
  await asked();
  const cases = parser.slow ? job.slowCases : job.cases;
  const start = performance.now();
  const crashes: string[] = [];
  let [refused, slowestMs, crashCount] = [0, 0, 0];
  for (let i = 0; i < cases; i++) {
    const before = process.cpuUsage();
    try {
      const result = parser.read(caseRandom(seed, i));
      if ((result instanceof Promise ? await result : result) === false) refused++;
    } catch (error) {
      if (isRefusal(error)) refused++;
      else if (crashCount++ < 3) crashes.push(`case ${i}: ${String((error as Error)?.stack ?? error).slice(0, 300)}`);
    }
    const { user, system } = process.cpuUsage(before);
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
    if (i % TURN === TURN - 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  parser.close?.();
  if (Object.hasOwn(Object.prototype, "polluted")) {
    crashes.push("a prototype was changed");
    crashCount++;
  }
  const seconds = (performance.now() - start) / 1000;
  const report: ParserReport = { parser: parser.name, cases, refused, seconds, slowestMs, crashes, crashCount, slips };
  process.send?.({ report });
}
process.disconnect?.();
