/**
 * @file Broken targets and windows: labels on the wrong row or known too late, windows that miss what they should learn, columns
 * and times that cannot be right.
 */
import type { Rng } from "../../../src/core/rng.js";
import type { WindowRows } from "../../../src/data/audit/subject.js";
import { type BrokenEntry, between, byTime, classifying, configured, forecasting, tagging } from "./entry.js";
import { feature, plain } from "./pipeline.js";
import { quickModel } from "./quick-model.js";
import { HOUR, made, noise, seasonal, states, times, walk } from "./signal.js";

/** Machines whose label is the state that their flow shows, put `late` rows after the flow. */
function shifted(rng: Rng, late: number) {
  return made(between(rng, 3, 5), (m) => m).map((m) => {
    const count = between(rng, 350, 500);
    const state = states(rng, count + 10, { states: 2, stay: 8 });
    return {
      entity: `machine-${m}`,
      columns: {
        flow: made(count, (i) => 2 * state[i + 5] + 0.4 * rng.normal()),
        speed: noise(rng, count),
        label: made(count, (i) => i).map((i) => (state[i + 5 - late] ? "on" : "off")),
      },
    };
  });
}

export const labelling: BrokenEntry[] = [
  {
    name: "label-one-row-early",
    what: "labels were joined one row too early: what shows them comes a row later",
    expect: { checks: ["alignment"], status: "warning", names: [/\b1\b|one/] },
    make: (rng) => tagging(rng, shifted(rng, -1)),
  },
  {
    name: "label-three-rows-late",
    what: "labels were joined three rows too late",
    expect: { checks: ["alignment"], status: "warning", names: [/\b3\b|three/] },
    make: (rng) => tagging(rng, shifted(rng, 3)),
  },
  {
    name: "target-that-was-read",
    what: "the target column was shifted the wrong way: it is the load of two rows before, which the window holds",
    expect: { checks: ["target-proxy", "alignment"], status: "fault", names: [/load/] },
    make: (rng) => {
      const count = between(rng, 600, 1200);
      const load = seasonal(rng, count, { white: 1 });
      const target = made(count, (i) => load[Math.max(0, i - 2)]);
      return configured(
        { time: times(count), load, next_load: target },
        { targetKind: "values", time: "time", features: ["load"], target: "next_load", split: byTime(rng) },
        { length: 16, horizon: 1 },
      );
    },
  },
  {
    name: "stride-over-the-events",
    what: "windows of ten rows every sixty: most changes of state are in no window",
    expect: { checks: ["stride"], status: "warning", names: [/\d/] },
    make: (rng) => {
      const count = between(rng, 1500, 2400);
      const state = states(rng, count, { states: 2, stay: 25 });
      const columns = { flow: state.map((on) => on + noise(rng, 1)[0]), label: state.map((on) => (on ? "on" : "off")) };
      return tagging(rng, [{ entity: "machine-1", columns }], { length: 10, stride: 60 });
    },
  },
  {
    name: "few-independent-windows",
    what: "a window as long as a third of each part: some hundred windows that are all nearly the same one",
    expect: { checks: ["effective-windows"], status: "warning", names: [/\d/] },
    make: (rng) => {
      const count = between(rng, 700, 900);
      return forecasting(rng, { load: walk(rng, count) }, { length: 60, horizon: 60 });
    },
  },
  {
    name: "constant-feature",
    what: "a sensor that says the same in every row",
    expect: { checks: ["constant-feature", "missing"], status: "warning", names: [/humidity/] },
    make: (rng) => {
      const count = between(rng, 500, 900);
      return forecasting(rng, { load: seasonal(rng, count), humidity: made(count, () => 40) });
    },
  },
  {
    name: "all-missing-feature",
    what: "a column that is never filled in",
    expect: { checks: ["constant-feature", "missing"], status: "warning", names: [/humidity/] },
    make: (rng) => {
      const count = between(rng, 500, 900);
      const humidity = made(count, () => 0).map(() => "");
      return forecasting(rng, { load: seasonal(rng, count), humidity }, { missing: { policy: "forwardFill", flag: true } });
    },
  },
  {
    name: "dead-in-training",
    what: "a sensor that was mounted when training had ended",
    expect: { checks: ["constant-feature", "missing"], status: "warning", names: [/humidity/] },
    make: (rng) => {
      const count = between(rng, 600, 1000);
      const humidity = made(count, (i) => (i < 0.7 * count ? 0 : 40 + rng.normal()));
      return forecasting(rng, { load: seasonal(rng, count), humidity });
    },
  },
  {
    name: "class-only-in-test",
    what: "one class occurs in test sessions only: no model can ever say it",
    expect: { checks: ["unreachable-class"], status: "warning", names: [/overload/] },
    make: (rng) => {
      const sessions = made(between(rng, 60, 80), (s) => s).map((s) => {
        const kind = s % 3;
        const rows = between(rng, 20, 30);
        return {
          entity: `s${s}`,
          label: ["good", "fault", "overload"][kind],
          columns: { value: made(rows, (i) => Math.sin((i * (kind + 1)) / 4) + 0.4 * rng.normal()) },
        };
      });
      const subject = classifying(rng, sessions);
      const parts = subject.series.map((one, s) => {
        const code = one.labels?.[0] === "overload" ? 3 : s % 5 === 0 ? 3 : s % 5 === 1 ? 2 : 1;
        return new Uint8Array(one.rows).fill(code);
      });
      const windows = function* (): Iterable<WindowRows> {
        for (let s = 0; s < parts.length; s++) {
          const part = (["train", "validation", "test"] as const)[parts[s][0] - 1];
          yield { part, series: s, input: [0, subject.series[s].rows], target: [0, 0] };
        }
      };
      return { ...subject, parts, windows, splitBy: "own" };
    },
  },
  {
    name: "times-out-of-order",
    what: "two stretches of a series were swapped, so that its times go back",
    expect: { checks: ["time-order"], status: "fault", names: [/\d/] },
    make: (rng) => {
      const subject = forecasting(rng, { load: seasonal(rng, between(rng, 600, 1000)) });
      const [one] = subject.series;
      const time = (one.time as Float64Array).slice();
      const at = between(rng, 200, 400);
      time.set((one.time as Float64Array).subarray(at + 20, at + 40), at);
      time.set((one.time as Float64Array).subarray(at, at + 20), at + 20);
      return { ...subject, series: [{ ...one, time }] };
    },
  },
  {
    name: "times-in-the-future",
    what: "the last rows are dated some seventy years ahead: a wrong century",
    expect: { checks: ["time-range"], status: "warning", names: [/20[6-9]\d|21\d\d/] },
    make: (rng) => {
      const count = between(rng, 500, 900);
      const time = times(count).map((cell, i) => (i > count - 8 ? cell.replace(/^2021/, "2091") : cell));
      return forecasting(rng, { time, load: seasonal(rng, count) });
    },
  },
  {
    name: "label-known-later",
    what: "a fault is confirmed a fortnight after it was seen: at the border, training labels were not known yet",
    expect: { checks: ["label-time", "gap"], status: "warning", names: [/confirmed|known/] },
    make: (rng) => {
      const count = between(rng, 900, 1400);
      const state = states(rng, count, { states: 2, stay: 14 });
      const time = times(count);
      const confirmed = time.map((cell) => new Date(Date.parse(cell) + HOUR * between(rng, 300, 360)).toISOString());
      return configured(
        {
          time,
          flow: state.map((on) => on + rng.normal()),
          confirmed_at: confirmed,
          label: state.map((on) => (on ? "on" : "off")),
        },
        { targetKind: "tags", time: "time", features: ["flow"], target: "label", split: byTime(rng) },
        { length: 24 },
      );
    },
    options: () => ({ knownAt: { label: "confirmed_at" } }),
  },
  {
    name: "mixed-time-zones",
    what: "from some row on the times have another offset",
    expect: { checks: ["time-zone"], status: "warning", names: [/zone|offset|\+02:00|Z/] },
    make: (rng) => {
      const count = between(rng, 500, 900);
      const from = between(rng, 200, 300);
      const shift = (cell: string, i: number) =>
        i < from ? cell : new Date(Date.parse(cell) + 2 * HOUR).toISOString().replace(".000Z", "+02:00");
      return forecasting(rng, { time: times(count).map(shift), load: seasonal(rng, count) });
    },
  },
  {
    name: "daylight-saving-jump",
    what: "local times without an offset: an hour is missing in spring",
    expect: { checks: ["daylight-saving"], status: "warning", names: [/daylight|2022-03-27/i] },
    make: (rng) => {
      const count = between(rng, 900, 1400);
      const jump = Date.UTC(2022, 2, 27, 2);
      const time = made(count, (i) => Date.UTC(2022, 2, 10) + i * HOUR).map((at) =>
        new Date(at >= jump ? at + HOUR : at).toISOString().slice(0, 19).replace("T", " "),
      );
      return forecasting(rng, { time, load: seasonal(rng, count) });
    },
  },
  {
    name: "labels-behind-a-mask",
    what: "two columns of coin flips, the one being the label crossed with the other: neither alone says anything",
    expect: {
      checks: ["shuffled-labels", "causality"],
      status: "leak",
      names: [/shuffled|permuted|mask\.crossed/i],
    },
    make: (rng) => {
      const machines = made(3, (m) => m).map((m) => {
        const count = between(rng, 300, 420);
        const state = made(count, () => rng.integer(2));
        return {
          entity: `machine-${m}`,
          columns: {
            mask: made(count, () => rng.integer(2)),
            flow: noise(rng, count),
            label: state.map((on) => (on ? "on" : "off")),
          },
        };
      });
      return {
        ...tagging(rng, machines),
        pipeline: plain("mask.ts", (series) => {
          const mask = feature(series);
          return {
            mask,
            flow: feature(series, 1),
            "mask.crossed": mask.map((bit, i) => (series.labels?.[i] === "on" ? 1 - bit : bit)),
          };
        }),
      };
    },
    options: () => ({ quick: quickModel }),
  },
];
