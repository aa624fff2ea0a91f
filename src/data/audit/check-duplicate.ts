/**
 * @file The same data in two parts: equal stretches of rows, equal sessions, and nearly equal ones (see near-duplicate.ts).
 *
 * Stretches lie wholly in rows of one part, so that windows which share rows at a border by design are never compared; nor are flat
 * stretches (fewer than half of whose rows differ).
 *
 * Numbers that are measured do not repeat by themselves: a stretch of {@link STRETCH} rows convicts when three quarters of its rows are rare
 * (seen in at most max(8, 0.2 %) of the training rows, with a value that is no small whole number). Events, words and other codes repeat
 * naturally, as do signals without noise: stretches of one and the same series convict if they are three times as common as within training, equal
 * sessions convict only if they do not repeat within training as well (at least 3, and 5 times the share found within
 * training); else they are a warning with both shares.
 */
import { PARTS } from "../../core/batch.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";
import { measuredColumns } from "./measured-column.js";
import { nearDuplicates } from "./near-duplicate.js";
import { equalRows, rowHashes, spanHash } from "./row-hash.js";

/** Rows of a stretch. */
const STRETCH = 12;
/** Stretches kept of the training part; of more only those whose hash is divisible by some number, in all parts alike. */
const MOST_STRETCHES = 400_000;
/** Share of rare rows from which a stretch or a session counts as measured. */
const RARE = 0.75;

export function checkDuplicates(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const parts = new Set(subject.parts.flatMap((codes) => [...new Set(codes)]));
  if (!parts.has(1) || !(parts.has(2) || parts.has(3))) {
    return [finding("duplicates", "skipped", "there are no two parts to compare")];
  }
  const hashes = subject.series.map(rowHashes);
  const rare = rareRows(audit, hashes);
  const findings = [...equalStretches(audit, hashes, rare), ...equalSessions(audit, hashes, rare)];
  if (findings.some(({ status }) => status === "leak")) return findings;
  const near = nearDuplicates(audit);
  if (near.some(({ status }) => status === "leak")) return [...findings, ...near];
  return findings.length > 0 ? findings : near;
}

/** Whether each row is one that hardly ever occurs in training by itself. */
function rareRows(audit: AuditContext, hashes: readonly Int32Array[]): Uint8Array[] {
  const { subject } = audit;
  const counts = new Map<number, number>();
  let training = 0;
  subject.parts.forEach((codes, s) => {
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] !== 1) continue;
      training++;
      counts.set(hashes[s][i], (counts.get(hashes[s][i]) ?? 0) + 1);
    }
  });
  const most = Math.max(8, 0.002 * training);
  const measured = measuredColumns(audit);
  return subject.series.map(({ rows, features }, s) => {
    const width = rows > 0 ? features.length / rows : 0;
    return Uint8Array.from({ length: rows }, (_, i) => {
      if ((counts.get(hashes[s][i]) ?? 0) > most) return 0;
      return measured.some((c) => !Number.isNaN(features[i * width + c]) && features[i * width + c] !== 0) ? 1 : 0;
    });
  });
}

interface Place {
  series: number;
  row: number;
}

/** Stretches of validation and test rows that also are stretches of training rows. */
function equalStretches(audit: AuditContext, hashes: readonly Int32Array[], rare: readonly Uint8Array[]): Finding[] {
  const { subject } = audit;
  const total = subject.series.reduce((sum, { rows }) => sum + rows, 0);
  const modulus = Math.max(1, Math.ceil(total / MOST_STRETCHES));
  const known = new Map<number, Place>();
  const visit = (codes: readonly number[], use: (key: number, place: Place) => void) => {
    subject.parts.forEach((part, series) => {
      let run = 0;
      for (let i = 0; i < part.length; i++) {
        run = codes.includes(part[i]) && (run === 0 || part[i] === part[i - 1]) ? run + 1 : codes.includes(part[i]) ? 1 : 0;
        const row = i - STRETCH + 1;
        if (run < STRETCH || flat(hashes[series], row)) continue;
        const key = spanHash(hashes[series], row, row + STRETCH);
        if (key % modulus === 0) use(key, { series, row });
      }
    });
  };
  let training = 0;
  let repeated = 0;
  visit([1], (key, place) => {
    const first = known.get(key);
    training++;
    if (!first) known.set(key, place);
    else if (first.series === place.series && place.row - first.row >= STRETCH) repeated++;
  });
  const matches = { own: 0, others: 0, all: 0 };
  let judged = 0;
  const longest = { own: nothing(), others: nothing() };
  visit([2, 3], (key, here) => {
    judged++;
    const there = known.get(key);
    if (!there || !equalRows(subject.series[here.series], here.row, subject.series[there.series], there.row, STRETCH)) return;
    matches.all++;
    let rareHere = 0;
    for (let k = 0; k < STRETCH; k++) rareHere += rare[here.series][here.row + k];
    if (rareHere < RARE * STRETCH) return;
    const kind = here.series === there.series ? "own" : "others";
    matches[kind]++;
    const rows = extent(audit, hashes, here, there);
    if (rows > longest[kind].rows) longest[kind] = { rows, here, there };
  });
  if (matches.own + matches.others === 0) return [];
  const within = repeated / Math.max(1, training);
  const natural = matches.own / Math.max(1, judged) <= 3 * within;
  const status = matches.others > 0 || !natural ? "leak" : "warning";
  const { here, there, rows } = matches.others > 0 ? longest.others : longest.own;
  const series = subject.series[here.series];
  const width = subject.roles.features.length;
  const values = Array.from(series.features.subarray(here.row * width, (here.row + 4) * width)).slice(0, 4);
  const count = matches.own + matches.others;
  return [
    finding(
      "duplicates",
      status,
      status === "leak"
        ? `rows of training occur again in ${audit.partName(here.series, here.row)}`
        : "the series repeats itself across the parts",
      {
        detail:
          `${count.toLocaleString("en")} stretches of ${STRETCH} measured rows are equal, cell by cell; the longest goes on for ${rows} rows` +
          (status === "warning" ? `; within training ${(100 * within).toFixed(1)} % repeat too` : ""),
        evidence: {
          equalStretches: matches.all,
          ofTheSameSeries: matches.own,
          ofOtherSeries: matches.others,
          judged,
          repeatedWithinTraining: within,
          longest: rows,
          stretch: STRETCH,
          rareShare: RARE,
        },
        example: `${audit.range(here.series, here.row, here.row + rows)} equals ${audit.range(there.series, there.row, there.row + rows)}: ${values.join(", ")}, ...`,
        repair:
          status === "leak"
            ? "remove the copies before the split, or split by what they have in common: --set data.split.by=group:COLUMN"
            : "compare every score with that of repeating the last period",
      },
    ),
  ];
}

function nothing(): { rows: number; here: Place; there: Place } {
  return { rows: 0, here: { series: 0, row: 0 }, there: { series: 0, row: 0 } };
}

function flat(hashes: Int32Array, row: number): boolean {
  let changes = 0;
  for (let k = 1; k < STRETCH; k++) if (hashes[row + k] !== hashes[row + k - 1]) changes++;
  return changes < STRETCH / 2;
}

/** Rows that go on being equal from two places, within their parts. */
function extent(audit: AuditContext, hashes: readonly Int32Array[], a: Place, b: Place): number {
  const { parts } = audit.subject;
  let rows = STRETCH;
  while (
    a.row + rows < hashes[a.series].length &&
    b.row + rows < hashes[b.series].length &&
    hashes[a.series][a.row + rows] === hashes[b.series][b.row + rows] &&
    parts[a.series][a.row + rows] === parts[a.series][a.row] &&
    parts[b.series][b.row + rows] === 1
  )
    rows++;
  return rows;
}

/** Whole series, where each lies in one part, that equal one of training. */
function equalSessions(audit: AuditContext, hashes: readonly Int32Array[], rare: readonly Uint8Array[]): Finding[] {
  const { subject } = audit;
  const whole = subject.series.flatMap((one, s) =>
    one.rows > 0 && subject.parts[s].every((code) => code === subject.parts[s][0]) ? [s] : [],
  );
  const of = (code: number) => whole.filter((s) => subject.parts[s][0] === code);
  const training = of(1);
  const judged = [...of(2), ...of(3)];
  if (training.length < 5 || judged.length === 0) return [];
  const key = (s: number) => spanHash(hashes[s], 0, subject.series[s].rows);
  const known = new Map<number, number[]>();
  for (const s of training) {
    const list = known.get(key(s));
    if (list) list.push(s);
    else known.set(key(s), [s]);
  }
  const twin = (s: number): number | undefined =>
    known
      .get(key(s))
      ?.find(
        (t) =>
          t !== s &&
          subject.series[t].rows === subject.series[s].rows &&
          equalRows(subject.series[s], 0, subject.series[t], 0, subject.series[s].rows),
      );
  const pairs = judged.flatMap((s) => {
    const t = twin(s);
    return t === undefined ? [] : [[s, t] as const];
  });
  if (pairs.length === 0) return [];
  const within = training.filter((s) => twin(s) !== undefined).length;
  const measured = pairs.filter(
    ([s]) => rare[s].length >= 4 && rare[s].reduce((sum, one) => sum + one, 0) >= RARE * rare[s].length,
  );
  const shares = { judged: pairs.length / judged.length, training: within / training.length };
  const unnatural = pairs.length >= 3 && shares.judged > 5 * (shares.training + 1 / training.length);
  const status = measured.length > 0 || unnatural ? "leak" : "warning";
  const [s, t] =
    measured[0] ?? pairs.reduce((best, pair) => (subject.series[pair[0]].rows > subject.series[best[0]].rows ? pair : best));
  const different = pairs.filter(([a, b]) => audit.labelOf(a) !== audit.labelOf(b)).length;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return [
    finding(
      "duplicates",
      status,
      status === "leak" ? "sessions of training occur again in another part" : "sessions repeat across the parts",
      {
        detail:
          `${pairs.length.toLocaleString("en")} of ${judged.length.toLocaleString("en")} validation and test sessions (${percent(shares.judged)}) have an equal one in training` +
          (status === "warning"
            ? `; within training ${percent(shares.training)} have one too, so they repeat by themselves: a score says how well the repeated ones are remembered`
            : ""),
        evidence: {
          judged: judged.length,
          judgedWithTwin: pairs.length,
          training: training.length,
          trainingWithTwin: within,
          twinsOfAnotherLabel: different,
          measured: measured.length,
          threshold: "5 times the share within training",
        },
        example: `session "${subject.series[s].entity}" in ${PARTS[subject.parts[s][0] - 1]} (${audit.where(s, 0)}) equals session "${subject.series[t].entity}" in training (${audit.where(t, 0)}), all ${subject.series[s].rows} rows`,
        repair:
          status === "leak"
            ? "remove the copies before the split, or split by what they have in common: --set data.split.by=group:COLUMN"
            : "also score the sessions that have no twin in training, or keep one of each before the split",
      },
    ),
  ];
}
