import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../core/rng.js";
import { tableFromRecords } from "../table.js";
import { checkAlignment } from "./check-alignment.js";
import { checkIdentity } from "./check-identity.js";
import { checkPosition } from "./check-position.js";
import { checkProxy } from "./check-proxy.js";
import { AuditContext } from "./context.js";
import type { AuditSubject } from "./subject.js";
import { subjectOf } from "./subject-of.js";

const SPLIT = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;

function loads(rng: Rng, count = 500): number[] {
  let level = 0;
  return Array.from({ length: count }, (_, i) => (level = 0.9 * level + rng.normal()) + 3 * Math.sin(i / 4));
}

function forecast(columns: Record<string, readonly (number | null)[]>): AuditSubject {
  const names = Object.keys(columns);
  const rows = columns.load.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  return subjectOf(
    tableFromRecords(rows.slice(0, 480), { source: "load.csv" }),
    { targetKind: "values", features: names, target: "load", split: SPLIT, missing: "value" },
    { length: 8, horizon: 2 },
  );
}

/** A label that lasts some rows, and a feature that shows it `late` rows before the label says so. */
function tags({
  late = 0,
  extra = {},
}: {
  late?: number;
  extra?: Record<string, (state: readonly number[], i: number) => number>;
} = {}): AuditSubject {
  const rng = seed(11);
  const rows = Array.from({ length: 4 }, (_, m) => m).flatMap((m) => {
    let state = 0;
    const states = Array.from({ length: 320 }, () => (state = rng.uniform() < 0.12 ? 1 - state : state));
    return Array.from({ length: 300 }, (_, i) => ({
      machine: `m${m}`,
      flow: 2 * states[i + 10 + late] + 0.4 * rng.normal(),
      ...Object.fromEntries(Object.entries(extra).map(([name, make]) => [name, make(states, i + 10)])),
      label: states[i + 10] ? "on" : "off",
    }));
  });
  return subjectOf(
    tableFromRecords(rows, { source: "tags.csv", text: ["machine", "label"] }),
    { targetKind: "tags", entity: "machine", features: ["flow", ...Object.keys(extra)], target: "label", split: SPLIT },
    { length: 20 },
  );
}

/** Sessions of noise in two classes, with what `make` adds to each row. */
function sessions(
  make: (s: number, bad: boolean, rng: Rng) => Record<string, number | null>,
  lengthOf = (_: boolean, rng: Rng) => 12 + rng.integer(9),
): AuditSubject {
  const rng = seed(12);
  const rows = Array.from({ length: 80 }, (_, s) => s).flatMap((s) => {
    const bad = s % 5 < 2;
    const length = lengthOf(bad, rng);
    const added = make(s, bad, rng);
    return Array.from({ length }, () => ({ session: `s${s}`, value: rng.normal(), ...added, label: bad ? "bad" : "good" }));
  });
  const features = Object.keys(rows[0]).filter((name) => name !== "session" && name !== "label");
  return subjectOf(tableFromRecords(rows, { source: "sessions.csv", text: ["session", "label"] }), {
    targetKind: "class",
    entity: "session",
    features,
    target: "label",
    split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    missing: "value",
  });
}

const proxies = (of: AuditSubject) => checkProxy(new AuditContext(of));

describe("the check for proxies of a forecast", () => {
  it("acquits the target itself, other units of it, its past, and what moves with it", () => {
    const rng = seed(1);
    const load = loads(rng);
    const [found] = proxies(
      forecast({
        load,
        watts: load.map((value) => 1000 * value),
        before: load.map((_, i) => load[Math.max(0, i - 1)]),
        heat: load.map((value) => 0.5 * value + rng.normal()),
      }),
    );
    expect(found).toMatchObject({ check: "target-proxy", status: "pass" });
  });

  it("convicts the target shifted, in another unit, with noise, and bent", () => {
    const rng = seed(2);
    const load = loads(rng);
    const ahead = (k: number) => load.map((_, i) => load[Math.min(load.length - 1, i + k)]);
    const shifted = proxies(forecast({ load, hint: ahead(1) }))[0];
    expect(shifted).toMatchObject({ status: "leak", title: 'feature "hint" knows the future' });
    expect(shifted.evidence.lag).toBe(1);
    expect(shifted.example).toMatch(/at load\.csv row \d+ "hint" is/);
    expect(proxies(forecast({ load, hint: ahead(5).map((value) => 1.8 * value + 32) }))[0].evidence.lag).toBe(5);
    expect(proxies(forecast({ load, hint: ahead(1).map((value) => value + 0.2 * rng.normal()) }))[0].status).toBe("leak");
    expect(proxies(forecast({ load, hint: ahead(1).map((value) => Math.exp(value)) }))[0].status).toBe("leak");
    expect(proxies(forecast({ load, hint: ahead(2).map((value) => (rng.uniform() < 0.4 ? null : -value)) }))[0].status).toBe(
      "leak",
    );
  });

  it("warns of one bit of the next value, and acquits an honest leading indicator", () => {
    const rng = seed(3);
    const walk: number[] = [0];
    for (let i = 1; i < 500; i++) walk.push(walk[i - 1] + rng.normal());
    expect(
      proxies(forecast({ load: walk, rising: walk.map((value, i) => (walk[Math.min(499, i + 1)] > value ? 1 : 0)) }))[0].status,
    ).toBe("warning");
    const noise = Array.from({ length: 500 }, () => rng.normal());
    expect(proxies(forecast({ load: noise, square: noise.map((_, i) => noise[Math.min(499, i + 1)] ** 2) }))[0].status).toBe(
      "warning",
    );
    const orders = Array.from({ length: 500 }, () => rng.normal());
    const load = orders.map((_, i) => 0.6 * orders[Math.max(0, i - 3)] + rng.normal());
    expect(proxies(forecast({ load, orders }))[0].status).toBe("pass");
  });
});

describe("the check for proxies of tags", () => {
  it("acquits a sensor and the label of the row before", () => {
    expect(proxies(tags())[0].status).toBe("pass");
    expect(proxies(tags({ extra: { before: (states, i) => states[i - 1] } }))[0].status).toBe("pass");
  });

  it("convicts a code of the label, the label of a later row, and a rolling share with the own label", () => {
    expect(proxies(tags({ extra: { code: (states, i) => 7 - 3 * states[i] } }))[0]).toMatchObject({ status: "leak" });
    const next = proxies(tags({ extra: { next: (states, i) => states[i + 1] } }));
    expect(next[0]).toMatchObject({ status: "leak", title: 'feature "next" knows the future' });
    const share = tags({ extra: { share: (states, i) => (states[i] + states[i - 1] + states[i - 2]) / 3 } });
    expect(proxies(share)[0].title).toContain('"share"');
  });
});

describe("the check for proxies of a class", () => {
  it("acquits an honest sensor and a code that says nothing", () => {
    expect(proxies(sessions((_, bad, rng) => ({ code: rng.integer(2), level: (bad ? 1 : 0) + rng.normal() })))[0].status).toBe(
      "pass",
    );
  });

  it("convicts a code of the outcome with an error now and then, and a column that is filled in for one class", () => {
    const code = proxies(sessions((s, bad) => ({ code: (s === 7 ? !bad : bad) ? 17 : 4 })))[0];
    expect(code).toMatchObject({ status: "leak" });
    expect(code.title).toContain('"code"');
    expect(proxies(sessions((_, bad, rng) => ({ repair: bad ? rng.uniform(1, 9) : null })))[0]).toMatchObject({ status: "leak" });
  });
});

describe("the check of alignment", () => {
  const aligned = (of: AuditSubject) => checkAlignment(new AuditContext(of))[0];

  it("acquits labels in their rows, and the label of the row before as an input", () => {
    expect(aligned(tags()).status).toBe("pass");
    expect(aligned(tags({ extra: { before: (states, i) => states[i - 1] } })).status).toBe("pass");
  });

  it("measures by how many rows labels are off", () => {
    const late = aligned(tags({ late: 3 }));
    expect(late).toMatchObject({ check: "alignment", status: "fault", title: "labels stand 3 rows too late" });
    expect(late.example).toMatch(/tags\.csv row \d+/);
    expect(aligned(tags({ late: -1 }))).toMatchObject({ status: "fault", title: "labels stand 1 row too early" });
  });
});

describe("the check for ids", () => {
  const ids = (of: AuditSubject) => checkIdentity(new AuditContext(of))[0];

  it("acquits measurements", () => {
    const rng = seed(4);
    expect(ids(forecast({ load: loads(rng) })).status).toBe("pass");
  });

  it("warns of a counter of rows and of an id per series", () => {
    const rng = seed(5);
    const load = loads(rng);
    expect(ids(forecast({ load, row: load.map((_, i) => i) }))).toMatchObject({
      status: "warning",
      title: 'feature "row" counts rows',
    });
    expect(ids(sessions((s) => ({ id: (s * 37) % 101 })))).toMatchObject({ status: "warning" });
  });

  it("convicts an id in a file that is sorted by class", () => {
    const sorted = ids(sessions((s, bad) => ({ id: 1000 * (bad ? 1 : 2) + s })));
    expect(sorted).toMatchObject({ check: "id-column", status: "leak" });
    expect(sorted.evidence.wrong).toBe(0);
  });
});

describe("the check of lengths and places", () => {
  const places = (of: AuditSubject) => checkPosition(new AuditContext(of));

  it("acquits lengths that say nothing", () => {
    expect(places(sessions(() => ({})))[0]).toMatchObject({ check: "length-label", status: "pass" });
  });

  it("warns of a length that tells the class", () => {
    const [found] = places(
      sessions(
        () => ({}),
        (bad, rng) => (bad ? 6 : 12) + rng.integer(6),
      ),
    );
    expect(found).toMatchObject({ check: "length-label", status: "warning" });
    expect(found.evidence.effect).toBeGreaterThan(0.5);
    const both = places(
      sessions(
        () => ({}),
        (bad, rng) => (bad ? (rng.uniform() < 0.5 ? 4 : 26) : 14) + rng.integer(4),
      ),
    );
    expect(both[0]).toMatchObject({ check: "length-label", status: "warning" });
  });

  it("warns of a label that always stands at the end of its series", () => {
    const rng = seed(6);
    const make = (fault: (i: number) => boolean) =>
      subjectOf(
        tableFromRecords(
          Array.from({ length: 20 * 30 }, (_, k) => ({
            run: `r${Math.floor(k / 30)}`,
            value: rng.normal(),
            label: fault(k % 30) ? "fault" : "good",
          })),
          { source: "runs.csv", text: ["run", "label"] },
        ),
        {
          targetKind: "tags",
          entity: "run",
          features: ["value"],
          target: "label",
          split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
        },
        { length: 30 },
      );
    expect(places(make((i) => i >= 22 + rng.integer(3)))[0]).toMatchObject({ check: "position-label", status: "warning" });
    expect(places(make(() => rng.uniform() < 0.3))[0].status).toBe("pass");
  });
});
