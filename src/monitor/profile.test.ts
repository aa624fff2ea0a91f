import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { RawProfiler } from "../data/index.js";
import { CONFIDENCE_BINS, confidenceBin, readProfile, referenceProfile } from "./profile.js";

function widest() {
  const rng = seed(3);
  const names = Array.from({ length: 200 }, (_, c) => `a rather long name of a feature, number ${c}`);
  const profiler = new RawProfiler(names);
  const rows = 500;
  const features = Float64Array.from({ length: rows * names.length }, () => rng.normal() * 1e-7);
  profiler.add(
    { rows, time: Float64Array.from({ length: rows }, (_, i) => i + 0.1 * rng.uniform()), features },
    new Uint8Array(rows).fill(1),
  );
  return referenceProfile(profiler.finish(), { confidence: new Float64Array(CONFIDENCE_BINS).fill(1234) });
}

describe("a reference profile", () => {
  it("comes back from its JSON, which is small for any number of features", () => {
    const profile = widest();
    const text = JSON.stringify(profile);
    expect(text.length).toBeLessThan(65_536);
    expect(readProfile(JSON.parse(text))).toEqual(profile);
    expect(profile.features).toHaveLength(64);
  });

  it("is absent in files of earlier versions, and has no confidence where nothing was predicted", () => {
    expect([readProfile(undefined), readProfile(null)]).toEqual([null, null]);
    const none = new RawProfiler(["x"]).finish();
    expect(referenceProfile(none, { confidence: new Float64Array(CONFIDENCE_BINS) })).toEqual({
      version: 1,
      rows: 0,
      features: [{ name: "x", missing: 0, values: null }],
      gapMs: null,
      length: null,
      confidence: null,
    });
    expect(readProfile(referenceProfile(none))?.confidence).toBeNull();
  });

  it("is refused where it is anything else", () => {
    const profile = JSON.parse(JSON.stringify(widest()));
    const [feature] = profile.features;
    const { values } = feature;
    const broken: unknown[] = [
      3,
      [],
      { ...profile, version: 2 },
      { ...profile, rows: -1 },
      { ...profile, features: {} },
      { ...profile, features: [...profile.features, { ...feature, name: "one more" }] },
      { ...profile, features: [feature, feature] },
      { ...profile, confidence: [1] },
      { ...profile, confidence: new Array(CONFIDENCE_BINS).fill(-1) },
      { ...profile, gapMs: undefined },
    ];
    for (const wrong of [
      { missing: 2 },
      { name: 3 },
      { values: { ...values, max: values.min - 1 } },
      { values: { ...values, edges: values.edges.toReversed() } },
      { values: { ...values, counts: values.counts.slice(1) } },
      { values: { ...values, min: null } },
      { values: { ...values, edges: new Array(10).fill(0) } },
    ]) {
      broken.push({ ...profile, features: [{ ...feature, ...wrong }] });
    }
    for (const one of broken) expect(() => readProfile(one), JSON.stringify(one)?.slice(0, 80)).toThrow(/OST_MODEL_FILE/);
  });
});

it("a confidence has a bin, also at both ends", () => {
  expect([0, 0.0499, 0.05, 0.999, 1, 1.0000001, -0].map(confidenceBin)).toEqual([0, 0, 1, 19, 19, 19, 0]);
});
