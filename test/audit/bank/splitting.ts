/**
 * @file Broken pipelines whose parts are not apart: shuffled rows, targets over a border, copies and aliases in two parts.
 */
import type { Rng } from "../../../src/core/rng.js";
import type { WindowRows } from "../../../src/data/audit/subject.js";
import { cutWindows } from "./cut.js";
import { type BrokenEntry, between, byTime, classifying, configured, forecasting } from "./entry.js";
import { TEST, TRAIN, VALIDATION } from "./pipeline.js";
import { autoregressive, type Cells, HOUR, made, seasonal, states, times } from "./signal.js";

/** Sessions whose class is in the shape: a bump early or late, over noise. */
function bumps(rng: Rng, count: number) {
  return made(count, (s) => s).map((s) => {
    const rows = between(rng, 30, 50);
    const late = s % 2;
    const at = Math.floor(rows * (late ? 0.7 : 0.3)) + between(rng, -3, 3);
    const values = made(rows, (i) => 2 * Math.exp(-(((i - at) / 4) ** 2)) + 0.5 * rng.normal());
    return { entity: `session-${s}`, label: late ? "late" : "early", columns: { value: values } };
  });
}

export const splitting: BrokenEntry[] = [
  {
    name: "shuffled-rows",
    what: "every row of a series was given a part by chance, and called a split by time",
    expect: { checks: ["split-order"], status: "fault", names: [/row|all|\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 600, 1200)) }, { horizon: 1 });
      const parts = subject.parts.map((codes) => codes.map(() => [1, 1, 1, 2, 3][rng.integer(5)]));
      const windows = cutWindows({ series: subject.series, parts }, { length: subject.length, horizon: 1 });
      return { ...subject, parts, windows };
    },
  },
  {
    name: "one-percent-shuffled",
    what: "a split by time of which one row in a hundred was given another part",
    expect: { checks: ["split-order"], status: "fault", names: [/\d/] },
    make: (rng) => {
      const count = between(rng, 900, 1600);
      const load = seasonal(rng, count);
      const part = made(count, (i) => i).map((i): string =>
        i < 0.6 * count ? "train" : i < 0.8 * count ? "validation" : "test",
      );
      for (let k = 0; k < count / 100; k++) {
        const [a, b] = [rng.integer(count), rng.integer(count)];
        [part[a], part[b]] = [part[b], part[a]];
      }
      return configured(
        { time: times(count), load, part },
        { targetKind: "values", time: "time", features: ["load"], target: "load", split: { by: "column:part" } },
        { length: between(rng, 6, 14), horizon: 1 },
      );
    },
  },
  {
    name: "target-one-row-over",
    what: "windows are assigned by the first row of the target, so that the last ones reach rows of the next part",
    expect: { checks: ["window-overlap"], status: "leak", names: [/\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 600, 1200)) }, { horizon: 2 });
      return { ...subject, windows: cutWindows(subject, { length: subject.length, horizon: 2 }) };
    },
  },
  {
    name: "targets-over-the-border",
    what: "as before with a long horizon: a whole day of validation targets was trained on",
    expect: { checks: ["window-overlap"], status: "leak", names: [/\d/] },
    make: (rng) => {
      const horizon = between(rng, 18, 30);
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 900, 1600)) }, { horizon });
      return { ...subject, windows: cutWindows(subject, { length: subject.length, horizon, stride: between(rng, 1, 3) }) };
    },
  },
  {
    name: "input-of-a-later-part",
    what: "test is the middle of the series, and training windows after it read test rows",
    expect: { checks: ["window-overlap", "split-order"], status: "fault", names: [/\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 700, 1300)) }, { horizon: 3 });
      const parts = subject.parts.map((codes) =>
        codes.map((_, i) => {
          const at = i / codes.length;
          return at < 0.35 ? TRAIN : at < 0.5 ? VALIDATION : at < 0.65 ? TEST : TRAIN;
        }),
      );
      const all = cutWindows({ series: subject.series, parts }, { length: subject.length, horizon: 3 });
      const windows = function* (): Iterable<WindowRows> {
        for (const window of all()) {
          const [from, to] = window.target;
          if (parts[0].subarray(from, to).every((code) => code === parts[0][from])) yield window;
        }
      };
      return { ...subject, parts, windows };
    },
  },
  {
    name: "windows-shuffled-then-split",
    what: "overlapping windows were drawn into parts by chance",
    expect: { checks: ["window-overlap"], status: "leak", names: [/\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 500, 900)) }, { length: 24, horizon: 6 });
      const parts = subject.parts.map((codes) => new Uint8Array(codes.length).fill(TRAIN));
      const drawn = made(subject.series[0].rows, () => rng.uniform());
      const windows = function* (): Iterable<WindowRows> {
        for (let start = 0; start + 30 <= subject.series[0].rows; start++) {
          const part = drawn[start] < 0.6 ? "train" : drawn[start] < 0.8 ? "validation" : "test";
          yield { part, series: 0, input: [start, start + 24], target: [start + 24, start + 30] };
        }
      };
      const border = Math.floor(parts[0].length * 0.6);
      parts[0].fill(VALIDATION, border).fill(TEST, Math.floor(parts[0].length * 0.8));
      return { ...subject, parts, windows };
    },
  },
  {
    name: "sessions-copied",
    what: "some sessions are in the file twice under two names, one of them in test",
    expect: { checks: ["duplicates"], status: "fault", names: [/session-\d+-again|session-\d+/] },
    make: (rng) => {
      const sessions = bumps(rng, between(rng, 50, 80));
      const again = sessions.slice(0, between(rng, 10, 16)).map((one) => ({ ...one, entity: `${one.entity}-again` }));
      return classifying(rng, [...sessions, ...again]);
    },
  },
  {
    name: "sessions-copied-with-noise",
    what: "the copies were jittered by a thousandth before the split: augmentation in the wrong place",
    expect: { checks: ["duplicates"], status: "fault", names: [/session-\d+/] },
    make: (rng) => {
      const sessions = bumps(rng, between(rng, 50, 80));
      const again = sessions.slice(0, between(rng, 12, 18)).map((one) => ({
        ...one,
        entity: `${one.entity}-jittered`,
        columns: { value: one.columns.value.map((value) => value + 0.001 * rng.normal()) },
      }));
      return classifying(rng, [...sessions, ...again]);
    },
  },
  {
    name: "stretch-of-training-in-test",
    what: "a fortnight of training rows was pasted over a hole in the test rows",
    expect: { checks: ["duplicates"], status: "fault", names: [/\d/] },
    make: (rng) => {
      const count = between(rng, 1200, 1800);
      const load = seasonal(rng, count);
      const from = Math.floor(0.1 * count);
      const to = Math.floor(0.85 * count);
      const rows = between(rng, 100, 150);
      load.splice(to, rows, ...load.slice(from, from + rows));
      return forecasting(rng, { load }, { length: 16, horizon: 2 });
    },
  },
  {
    name: "device-under-an-alias",
    what: "one pump reports under two names, by two gateways: the same readings, one of them rounded",
    expect: { checks: ["duplicates", "entity-overlap"], status: "fault", names: [/pump|gateway/] },
    make: (rng) => {
      const cells: Cells = { time: [], pump: [], pressure: [] };
      const pumps = between(rng, 18, 26);
      const rows = between(rng, 60, 90);
      const put = (name: string, values: readonly number[]) => {
        cells.time.push(...times(rows, HOUR / 4));
        cells.pressure.push(...values);
        cells.pump.push(...made(rows, () => 0).map(() => name));
      };
      for (let p = 0; p < pumps; p++) {
        const values = autoregressive(rng, rows, 0.85).map((value) => 10 + value);
        put(`pump-${p}`, values);
        if (p < 8)
          put(
            `gateway-${p}`,
            values.map((value) => Math.round(100 * value) / 100),
          );
      }
      const split = { by: "entity", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "pump", split, target: "pressure" },
        { length: 12, horizon: 2 },
      );
    },
  },
  {
    name: "device-cut-under-entity-split",
    what: "a split by machine of which one machine's last rows are in another part",
    expect: { checks: ["entity-overlap"], status: "fault", names: [/machine-\d+/] },
    make: (rng) => {
      const cells: Cells = { time: [], machine: [], load: [] };
      for (let m = 0; m < between(rng, 8, 12); m++) {
        const rows = between(rng, 80, 140);
        cells.time.push(...times(rows));
        cells.machine.push(...made(rows, () => 0).map(() => `machine-${m}`));
        cells.load.push(...seasonal(rng, rows));
      }
      const split = { by: "entity", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      const subject = configured(
        cells,
        { targetKind: "values", time: "time", entity: "machine", split, target: "load" },
        { length: 10, horizon: 2 },
      );
      const chosen = subject.parts.findIndex((codes) => codes[0] === TRAIN);
      const parts = subject.parts.map((codes, s) =>
        s === chosen ? codes.map((code, i) => (i > 0.7 * codes.length ? TEST : code)) : codes,
      );
      return {
        ...subject,
        parts,
        windows: cutWindows({ series: subject.series, parts }, { length: 10, horizon: 2, within: true }),
      };
    },
  },
  {
    name: "site-in-two-parts",
    what: "a split said to be by site drew machines: every site is in all parts",
    expect: { checks: ["entity-overlap"], status: "fault", names: [/site|north|south|east|west/] },
    make: (rng) => {
      const sites = ["north", "south", "east", "west"];
      const cells: Cells = { time: [], machine: [], site: [], load: [] };
      for (let m = 0; m < 16; m++) {
        const rows = between(rng, 60, 110);
        cells.time.push(...times(rows));
        cells.machine.push(...made(rows, () => 0).map(() => `machine-${m}`));
        cells.site.push(...made(rows, () => 0).map(() => sites[m % 4]));
        cells.load.push(...seasonal(rng, rows));
      }
      const split = { by: "group:site", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      const subject = configured(
        cells,
        { targetKind: "values", time: "time", entity: "machine", split, target: "load" },
        { length: 10, horizon: 2 },
      );
      const parts = subject.parts.map((codes, s) =>
        new Uint8Array(codes.length).fill(s < 8 ? TRAIN : s < 12 ? VALIDATION : TEST),
      );
      return {
        ...subject,
        parts,
        windows: cutWindows({ series: subject.series, parts }, { length: 10, horizon: 2, within: true }),
      };
    },
  },
  {
    name: "machine-in-two-parts-by-spelling",
    what: "the same machine is written in two ways, and the two are in different parts",
    expect: { checks: ["entity-overlap"], status: "warning", names: [/pump/i] },
    make: (rng) => {
      const cells: Cells = { time: [], pump: [], load: [] };
      for (let p = 0; p < 14; p++) {
        for (const [late, name] of [`Pump-${p}`, `pump-${p} `.trim()].entries()) {
          if (late && p % 2) continue;
          const rows = between(rng, 60, 90);
          cells.time.push(...times(rows, HOUR, Date.UTC(2021, late ? 6 : 0, 1)));
          cells.pump.push(...made(rows, () => 0).map(() => name));
          cells.load.push(...seasonal(rng, rows));
        }
      }
      const split = { by: "entity", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "pump", split, target: "load" },
        { length: 10, horizon: 2 },
      );
    },
  },
  {
    name: "no-gap-for-a-target-that-looks-ahead",
    what: "the target is the highest load of the next 12 hours, and the parts follow each other without a gap of 12 rows",
    expect: { checks: ["gap", "label-time", "window-overlap"], status: "warning", names: [/peak|gap|12|\d/] },
    make: (rng) => {
      const count = between(rng, 800, 1300);
      const load = seasonal(rng, count + 12);
      const peak = made(count, (i) => Math.max(...load.slice(i + 1, i + 13)));
      const cells = { time: times(count), load: load.slice(0, count), peak };
      return configured(
        cells,
        { targetKind: "values", time: "time", features: ["load"], target: "peak", split: byTime(rng) },
        { length: 24, horizon: 1 },
      );
    },
  },
  {
    name: "states-of-a-twin",
    what: "two series of one process, one of them delayed by three rows, in two parts",
    expect: { checks: ["duplicates"], status: "fault", names: [/line-/] },
    make: (rng) => {
      const cells: Cells = { line: [], flow: [], label: [] };
      const lines = between(rng, 20, 30);
      for (let l = 0; l < lines; l++) {
        const rows = between(rng, 70, 100);
        const state = states(rng, rows + 3, { states: 2, stay: 9 });
        const flow = state.map((on) => 2 * on + 0.6 * rng.normal());
        const put = (name: string, from: number) => {
          for (let i = 0; i < rows; i++) {
            cells.line.push(name);
            cells.flow.push(flow[i + from]);
            cells.label.push(state[i + from] ? "on" : "off");
          }
        };
        put(`line-${l}`, 3);
        if (l % 3 === 0) put(`line-${l}-b`, 0);
      }
      const split = { by: "entity", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      return configured(cells, { targetKind: "tags", entity: "line", split, target: "label" }, { length: 20 });
    },
  },
  {
    name: "test-before-training",
    what: "the first fifth of a series is test, the rest of it is learned from",
    expect: { checks: ["split-order"], status: "fault", names: [/\d/] },
    make: (rng) => {
      const count = between(rng, 800, 1400);
      const part = made(count, (i) => i).map((i): string =>
        i < 0.2 * count ? "test" : i < 0.4 * count ? "validation" : "train",
      );
      return configured(
        { time: times(count), load: seasonal(rng, count), part },
        { targetKind: "values", time: "time", features: ["load"], target: "load", split: { by: "column:part" } },
        { length: 12, horizon: 2 },
      );
    },
  },
  {
    name: "window-reads-its-answer",
    what: "an index is off by one: the last input row is the first row to be predicted",
    expect: { checks: ["window-overlap"], status: "leak", names: [/\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 600, 1200)) }, { horizon: 2 });
      const windows = function* (): Iterable<WindowRows> {
        for (const window of cutWindows(subject, { length: subject.length, horizon: 2, within: true })()) {
          yield { ...window, input: [window.input[0] + 1, window.input[1] + 1] };
        }
      };
      return { ...subject, windows };
    },
  },
  {
    name: "augmented-before-the-split",
    what: "sessions were jittered, scaled and cropped, and only then drawn into parts",
    expect: { checks: ["duplicates"], status: "warning", names: [/session-\d+/] },
    make: (rng) => {
      const sessions = bumps(rng, between(rng, 50, 80));
      const again = sessions.slice(0, between(rng, 15, 24)).map((one) => {
        const crop = between(rng, 0, 2);
        const size = rng.uniform(0.9, 1.1);
        const value = one.columns.value.slice(crop).map((before) => size * before + 0.03 * rng.normal());
        return { ...one, entity: `${one.entity}-varied`, columns: { value } };
      });
      return classifying(rng, [...sessions, ...again]);
    },
  },
  {
    name: "device-in-other-units",
    what: "the same meters twice, once in kilowatts and once in watts",
    expect: { checks: ["duplicates", "entity-overlap"], status: "warning", names: [/meter|gateway/] },
    make: (rng) => {
      const cells: Cells = { time: [], meter: [], load: [] };
      const rows = between(rng, 70, 100);
      for (let m = 0; m < between(rng, 18, 24); m++) {
        const values = autoregressive(rng, rows, 0.8).map((value) => 5 + value);
        for (const [name, unit] of m < 8 ? [["meter", 1] as const, ["gateway", 1000] as const] : [["meter", 1] as const]) {
          cells.time.push(...times(rows));
          cells.meter.push(...made(rows, () => 0).map(() => `${name}-${m}`));
          cells.load.push(...values.map((value) => unit * value));
        }
      }
      const split = { by: "entity", train: 0.5, validation: 0.25, test: 0.25, seed: rng.integer(100) } as const;
      return configured(
        cells,
        { targetKind: "values", time: "time", entity: "meter", split, target: "load" },
        { length: 12, horizon: 2 },
      );
    },
  },
];
