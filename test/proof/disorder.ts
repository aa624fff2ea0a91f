/**
 * @file A network that doubles, swaps and drops: requests of numbered steps reach the server twice, before their turn, or only when they are
 * sent again, and the client goes on until every one is acknowledged.
 */
import type { Rng } from "../../src/core/rng.js";
import type { Carried, Carrier } from "./carrier.js";
import { probeAlone } from "./reference.js";

export interface DisorderOptions {
  carrier: Carrier;
  rng: Rng;
  sessions: number;
  /** Records of each session. */
  records: number;
  /** Begins every session's name. */
  name: string;
}

export interface DisorderReport {
  /** Records acknowledged. */
  steps: number;
  requests: number;
  duplicated: number;
  swapped: number;
  dropped: number;
  /** Answered from the store. */
  repeated: number;
  refusals: Map<string, number>;
  wrongs: string[];
  /** By session, what was sent: for a last look at its state. */
  sent: Map<string, readonly number[]>;
}

interface Request {
  seq: number;
  values: readonly number[];
  acknowledged: boolean;
}

/** Requests of a session under way at once. */
const WINDOW = 8;
const MAX_TRIES = 50;
/** Sent again later. */
const PASSING = new Set(["OST_GAP", "OST_RATE", "OST_CAPACITY", "OST_DEADLINE", "OST_SESSION"]);
const [DUPLICATES, SWAPS, DROPS] = [0.2, 0.1, 0.05];

export async function disorder(options: DisorderOptions): Promise<DisorderReport> {
  const { sessions, name } = options;
  const report: DisorderReport = {
    ...{ steps: 0, requests: 0, duplicated: 0, swapped: 0, dropped: 0, repeated: 0 },
    refusals: new Map(),
    wrongs: [],
    sent: new Map(),
  };
  await Promise.all(Array.from({ length: sessions }, (_, i) => oneSession(`${name}-${i}`, options, report)));
  return report;
}

async function oneSession(id: string, { carrier, rng, records }: DisorderOptions, report: DisorderReport): Promise<void> {
  const values = Array.from({ length: records }, () => Math.fround(rng.normal()));
  const right = probeAlone(values.map((value) => Float64Array.of(value))).flatMap((hash) =>
    carrier.rounds ? [...Float32Array.from(hash)] : [...hash],
  );
  report.sent.set(id, values);
  await carrier.begin(id);
  for (let from = 0; from < records; ) {
    const requests: Request[] = [];
    // The first alone: until it came, there is no session to be out of order in.
    for (let left = from === 0 ? 1 : WINDOW; left > 0 && from < records; left--) {
      const count = Math.min(records - from, 1 + rng.integer(3));
      requests.push({ seq: from + 1, values: values.slice(from, from + count), acknowledged: false });
      from += count;
    }
    const send = async (request: Request) => {
      report.requests++;
      hear(id, request, await carrier.step(id, request.seq, request.values), right, report);
    };
    await Promise.all(arrivals(requests, rng, report).map(send));
    for (let tries = 0; requests.some(({ acknowledged }) => !acknowledged); tries++) {
      if (tries === MAX_TRIES) {
        report.wrongs.push(`${id}: seq ${requests.find(({ acknowledged }) => !acknowledged)?.seq} is never taken`);
        return;
      }
      await Promise.all(requests.filter(({ acknowledged }) => !acknowledged).map(send));
    }
  }
}

/** The order in which a window's requests leave: some twice, some before their turn, some not yet. */
function arrivals(requests: readonly Request[], rng: Rng, report: DisorderReport): Request[] {
  const leaving = [...requests];
  for (let i = 1; i < leaving.length; i++) {
    if (rng.uniform() >= SWAPS) continue;
    report.swapped++;
    [leaving[i - 1], leaving[i]] = [leaving[i], leaving[i - 1]];
  }
  const arriving: Request[] = [];
  for (const request of leaving) {
    if (rng.uniform() < DROPS) {
      report.dropped++;
      continue;
    }
    arriving.push(request);
    if (rng.uniform() >= DUPLICATES) continue;
    report.duplicated++;
    if (rng.integer(2) === 0) arriving.push(request);
    else arriving.splice(rng.integer(arriving.length + 1), 0, request);
  }
  return arriving;
}

function hear(
  id: string,
  request: Request,
  { count, hashes, repeated, refused }: Carried,
  right: readonly number[],
  report: DisorderReport,
): void {
  if (refused !== null) {
    report.refusals.set(refused, (report.refusals.get(refused) ?? 0) + 1);
    // A copy that came after its answer was forgotten is refused, and the first one acknowledged.
    const known = PASSING.has(refused) || (refused === "OST_STALE" && (request.acknowledged || repeated));
    if (!known && report.wrongs.length < 5) report.wrongs.push(`${id}: seq ${request.seq} refused with ${refused}`);
    return;
  }
  const at = 2 * (request.seq - 1);
  const isRight = count === request.values.length && hashes.every((hash, i) => Object.is(hash, right[at + i]));
  if (!isRight && report.wrongs.length < 5)
    report.wrongs.push(`${id}: seq ${request.seq}: ${hashes} for ${right.slice(at, at + 2 * count)}`);
  if (repeated) report.repeated++;
  if (!request.acknowledged) report.steps += count;
  request.acknowledged = true;
}
