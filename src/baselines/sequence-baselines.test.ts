import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Rng, seed } from "../core/rng.js";
import {
  type Baseline,
  CountTable,
  defaultBaselines,
  KeyMarkov,
  MostFrequentSequence,
  MostFrequentTag,
  NearestSource,
  NGram,
  restoreBaseline,
  WittenBell,
} from "./index.js";

const V = 5;
const CLASSES = ["a", "b", "c", "d", "e"];
const base: ExampleSpec = {
  features: ["noise", "code"],
  targetKind: "next",
  targets: [],
  classes: CLASSES,
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
  codes: [{ column: 1, size: V, width: 4 }],
};
const SPECS: Record<string, ExampleSpec> = {
  next: base,
  "next, one column per code": {
    ...base,
    features: ["noise", ...CLASSES.map((name) => `code=${name}`)],
    codes: undefined,
  },
  tags: { ...base, targetKind: "tags", classes: ["x", "y", "z"] },
  tokens: { ...base, targetKind: "tokens", classes: ["p", "q", "r"] },
  frames: {
    ...base,
    features: ["low", "high"],
    targetKind: "values",
    targets: ["high", "low"],
    targetFeature: [1, 0],
    classes: [],
    codes: undefined,
    horizon: 2,
    everyStep: true,
    distribution: { kind: "bernoulli" },
  },
};

/** Codes that follow a pattern more often than not. */
function draw(rng: Rng, length: number): number[] {
  const row: number[] = [];
  for (let t = 0; t < length; t++) {
    const expected = t > 1 ? (row[t - 1] + 2 * row[t - 2] + 1) % V : rng.integer(V);
    row.push(rng.uniform() < 0.7 ? expected : rng.integer(V));
  }
  return row;
}

function batchOf(
  spec: ExampleSpec,
  rng: Rng,
  lengths: number[],
  { time = Math.max(...lengths), padding = 0 }: { time?: number; padding?: number } = {},
): Batch {
  const B = lengths.length;
  const F = spec.features.length;
  const x = new Float32Array(B * time * F).fill(padding);
  const perStep = spec.horizon * spec.targets.length;
  const values = new Float32Array(B * time * perStep).fill(Number.NaN);
  const classes = new Int32Array(B * time).fill(-1);
  const tokens = new Int32Array(B * time).fill(-1);
  lengths.forEach((length, b) => {
    const row = draw(rng, length + 2);
    for (let t = 0; t < length; t++) {
      const at = (b * time + t) * F;
      if (spec.targetKind === "values") {
        for (let f = 0; f < F; f++) x[at + f] = (row[t] >> f) & 1;
        for (let p = 0; p < 2; p++) {
          for (let k = 0; k < 2; k++) values[((b * time + t) * 2 + p) * 2 + k] = (row[t + 1 + p] >> spec.targetFeature[k]) & 1;
        }
        continue;
      }
      x[at] = rng.normal();
      if (spec.codes) x[at + 1] = row[t];
      else for (let c = 0; c < V; c++) x[at + 1 + c] = row[t] === c ? 1 : 0;
      classes[b * time + t] = spec.targetKind === "next" ? row[t + 1] : row[t] % 3;
      tokens[b * time + t] = row[t] % 3;
    }
  });
  return {
    batchSize: B,
    time,
    features: F,
    x,
    lengths: Int32Array.from(lengths),
    targetKind: spec.targetKind,
    ...(spec.targetKind === "values" && { values }),
    ...((spec.targetKind === "next" || spec.targetKind === "tags") && { classes }),
    ...(spec.targetKind === "tokens" && { tokens, tokenLengths: Int32Array.from(lengths) }),
    everyStep: spec.everyStep,
    horizon: spec.horizon,
    targets: spec.targets.length,
    example: Int32Array.from(lengths.keys()),
    series: Int32Array.from(lengths.keys()),
    start: new Int32Array(B),
  };
}

const part = (spec: ExampleSpec, value: number, options?: Parameters<typeof batchOf>[3]) => () => {
  const rng = seed(value);
  return [12, 7, 9].map((length) => batchOf(spec, rng, new Array(20).fill(length), options));
};

function fitted(spec: ExampleSpec, options?: Parameters<typeof batchOf>[3]): Baseline[] {
  const list = defaultBaselines(spec, { countTables: true });
  for (const baseline of list) baseline.fit(part(spec, 1, options), part(spec, 2, options));
  return list;
}

/** Numbers, and the sequences that were decoded. */
function answers(baseline: Baseline, batch: Batch): { out: Float32Array; found: number[][] } {
  return { out: baseline.predict(batch), found: (baseline.decode?.(batch) ?? []).map(({ tokens }) => tokens) };
}

describe.each(Object.entries(SPECS))("every baseline for %s", (name, spec) => {
  const baselines = fitted(spec);
  const lengths = [8, 3, 1, 0];
  const tokens = spec.targetKind === "tokens";
  const width = spec.targetKind === "values" ? spec.horizon * spec.targets.length : spec.classes.length;

  it("is there, under a name of its own", () => {
    const names = baselines.map((one) => one.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.map((one) => one.replace(/^(ngram.*|trigram)$/, "best"))).toEqual(
      {
        next: ["unigram", "bigram", "best", "countTable(1)", "countTable(2)"],
        tags: ["majority", "mostFrequentTag", expect.stringMatching(/^logistic/)],
        tokens: ["mostFrequentSequence", "nearestSource"],
        frames: ["keyFrequency", "keyMarkov"],
      }[name.split(",")[0]],
    );
  });

  it("gives finite numbers for valid steps and zero for padding, or sequences", () => {
    const batch = batchOf(spec, seed(5), lengths);
    for (const baseline of baselines) {
      const { out, found } = answers(baseline, batch);
      expect(out.length, baseline.name).toBe(batch.batchSize * (tokens ? 1 : batch.time * width));
      if (tokens) {
        expect(out.every(Number.isNaN)).toBe(true);
        expect(found.length).toBe(lengths.length);
        expect(found.flat().every((code) => code >= 0 && code < 3)).toBe(true);
        continue;
      }
      expect(out.every(Number.isFinite), baseline.name).toBe(true);
      expect(out.subarray((batch.time + lengths[1]) * width, 2 * batch.time * width).every((value) => value === 0)).toBe(true);
      if (spec.targetKind === "values") continue;
      for (const step of [0, 4, batch.time + 2]) {
        const sum = out.subarray(step * width, (step + 1) * width).reduce((total, value) => total + Math.exp(value), 0);
        expect(sum, baseline.name).toBeCloseTo(1, 5);
      }
    }
  });

  it("does not look at padding, in fit or prediction: more of it, or NaN in it, changes no bit", () => {
    const poisoned = { time: 13, padding: Number.NaN };
    const others = fitted(spec, poisoned);
    const plain = batchOf(spec, seed(6), lengths);
    const padded = batchOf(spec, seed(6), lengths, poisoned);
    baselines.forEach((baseline, i) => {
      const a = answers(baseline, plain);
      const b = answers(others[i], padded);
      expect(b.found).toEqual(a.found);
      if (tokens) return;
      lengths.forEach((length, row) => {
        const cut = (out: Float32Array, time: number) => [...out.subarray(row * time * width, (row * time + length) * width)];
        expect(cut(b.out, 13), baseline.name).toEqual(cut(a.out, plain.time));
      });
    });
  });

  it("answers a row alone as it does among others", () => {
    const all = batchOf(spec, seed(8), [8, 5]);
    const one = batchOf(spec, seed(8), [8]);
    for (const baseline of baselines) {
      const alone = answers(baseline, one);
      const among = answers(baseline, all);
      expect([...among.out.subarray(0, alone.out.length)], baseline.name).toEqual([...alone.out]);
      expect(among.found.slice(0, 1)).toEqual(alone.found);
    }
  });

  it("needs no more than its history", () => {
    const whole = batchOf(spec, seed(9), [8]);
    for (const baseline of baselines) {
      if (tokens || baseline.history >= 8) continue;
      const kept = { ...whole, time: baseline.history, lengths: Int32Array.of(baseline.history) };
      kept.x = whole.x.slice((8 - baseline.history) * whole.features);
      expect([...baseline.predict(kept).subarray(-width)], baseline.name).toEqual([...baseline.predict(whole).subarray(-width)]);
    }
  });

  it("is the same after a round trip through JSON and arrays", () => {
    const batch = batchOf(spec, seed(11), lengths);
    for (const baseline of baselines) {
      const restored = restoreBaseline(JSON.parse(JSON.stringify(baseline)), baseline.arrays());
      expect([restored.name, restored.history, restored.distributional]).toEqual([
        baseline.name,
        baseline.history,
        baseline.distributional,
      ]);
      expect(answers(restored, batch), baseline.name).toEqual(answers(baseline, batch));
      expect(JSON.stringify(restored)).toBe(JSON.stringify(baseline));
      expect(restored.arrays()).toEqual(baseline.arrays());
    }
  });

  it("refuses arrays that are absent, short or damaged, and batches of other features", () => {
    const other = { ...batchOf(spec, seed(5), lengths), features: 7 };
    for (const baseline of baselines) {
      expect(() => baseline.predict(other), baseline.name).toThrow(/OST_SHAPE/);
      const arrays = baseline.arrays();
      if (Object.keys(arrays).length === 0) continue;
      const json = JSON.parse(JSON.stringify(baseline));
      expect(() => restoreBaseline(json, {}), baseline.name).toThrow(/OST_MODEL_FILE/);
      for (const [key, { shape, data }] of Object.entries(arrays)) {
        const short = { ...arrays, [key]: { shape: [shape[0] - 1], data: data.slice(1) } };
        expect(() => restoreBaseline(json, short), `${baseline.name} ${key}`).toThrow(/OST_MODEL_FILE/);
        if (!["codes", "children", "sources", "targetLengths"].includes(key) || data.length < 2) continue;
        const damaged = { ...arrays, [key]: { shape, data: data.map((value, i) => (i === 1 ? -3 : value)) } };
        expect(() => restoreBaseline(json, damaged), `${baseline.name} ${key}`).toThrow(/OST_MODEL_FILE/);
      }
    }
  });

  it("refuses a training part that has nothing to learn from, and to answer before it was fitted", () => {
    for (const baseline of defaultBaselines(spec, { countTables: true })) {
      if (baseline.name === "majority") continue;
      expect(() => baseline.toJSON(), baseline.name).toThrow(/OST_RANGE/);
      const nothing = () => [] as Batch[];
      expect(() => baseline.fit(nothing, nothing), baseline.name).toThrow(/OST_TARGET/);
    }
  });
});

/** P(w | h) as it is written down, counted anew for every context from rows of codes. */
function naive(rows: number[][], context: number[], code: number, order: number): number {
  let probability = 1 / V;
  for (let k = 1; k <= order; k++) {
    if (context.length < k - 1) break;
    const h = context.slice(context.length - (k - 1));
    const after: number[] = [];
    for (const row of rows) {
      for (let t = Math.max(1, k - 1); t < row.length; t++) {
        if (h.every((one, i) => row[t - h.length + i] === one)) after.push(row[t]);
      }
    }
    if (after.length === 0) break;
    const types = new Set(after).size;
    probability = (after.filter((one) => one === code).length + types * probability) / (after.length + types);
  }
  return probability;
}

/** Rows of codes as a batch of "next". */
function nextBatch(rows: number[][], place: Partial<Batch> = {}): Batch {
  const batch = batchOf(
    base,
    seed(1),
    rows.map(({ length }) => length),
  );
  rows.forEach((row, b) => {
    row.forEach((code, t) => {
      batch.x[(b * batch.time + t) * 2 + 1] = code;
      (batch.classes as Int32Array)[b * batch.time + t] = row[t + 1] ?? -1;
    });
  });
  return { ...batch, ...place };
}

describe("n-grams", () => {
  const rng = seed(21);
  const rows = Array.from({ length: 12 }, (_, i) => draw(rng, 4 + i));

  it.each([1, 2, 3, 4])("of order %i are Witten-Bell's formula, written out", (order) => {
    const ngram = new NGram(base, { order });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [],
    );
    const fresh = draw(rng, 30);
    const out = ngram.predict(nextBatch([fresh]));
    for (let t = 0; t < fresh.length; t++) {
      for (let code = 0; code < V; code++) {
        const expected = naive(rows, fresh.slice(0, t + 1), code, order);
        expect(Math.exp(out[t * V + code]), `step ${t}`).toBeCloseTo(expected, 6);
      }
    }
  });

  it("score a validation part as prediction does, order by order", () => {
    const held = nextBatch([draw(rng, 40), draw(rng, 25)]);
    const ngram = new NGram(base, { order: [1, 2, 3, 4] });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [held],
    );
    expect(ngram.choice.validation.map(({ order }) => order)).toEqual([1, 2, 3, 4]);
    for (const { order, nll } of ngram.choice.validation) {
      const one = new NGram(base, { order });
      one.fit(
        () => [nextBatch(rows)],
        () => [],
      );
      const out = one.predict(held);
      const losses = [...(held.classes as Int32Array)].flatMap((label, i) => (label >= 0 ? [-out[i * V + label]] : []));
      expect(losses.reduce((sum, loss) => sum + loss, 0) / losses.length).toBeCloseTo(nll, 5);
    }
    const best = ngram.choice.validation.reduce((a, b) => (b.nll < a.nll ? b : a));
    expect(ngram.choice.order).toBe(best.order);
    expect(ngram.choice.sizes.length).toBe(best.order);
  });

  it("keep the context of a lane over its chunks, and no longer", () => {
    const long = draw(rng, 24);
    const ngram = new NGram(base, { order: 4 });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [],
    );
    const whole = ngram.predict(nextBatch([long]));
    const chunk = (from: number, to: number, reset: number) =>
      nextBatch([long.slice(from, to)], { start: Int32Array.of(from), reset: Uint8Array.of(reset) });
    const cut = [chunk(0, 2, 1), chunk(2, 3, 0), chunk(3, 14, 0), chunk(14, 24, 0)].flatMap((one) => [...ngram.predict(one)]);
    expect(cut).toEqual([...whole]);
    const last = chunk(14, 24, 0);
    expect([...ngram.predict(last)], "asked for twice").toEqual([...ngram.predict(last)]);
    const alone = ngram.predict(nextBatch([long.slice(14)]));
    expect([...ngram.predict(chunk(14, 24, 1))], "reset").toEqual([...alone]);
    expect([...ngram.predict(nextBatch([long.slice(14)]))], "no lanes").toEqual([...alone]);
    ngram.predict(chunk(0, 2, 1));
    expect([...ngram.predict(last)], "no chunk before it").toEqual([...alone]);
  });

  it("learn the same from chunks of lanes as from whole rows", () => {
    const whole = new NGram(base, { order: 3 });
    const long = [draw(rng, 31), draw(rng, 22)];
    whole.fit(
      () => [nextBatch(long)],
      () => [],
    );
    function* chunks(): Generator<Batch> {
      for (let from = 0; from < 31; from += 5) {
        const batch = nextBatch(
          long.map((row) => row.slice(from, from + 5)),
          { start: Int32Array.of(from, from), reset: new Uint8Array(2).fill(from === 0 ? 1 : 0) },
        );
        long.forEach((row, b) => {
          if (row.length > from + 5) (batch.classes as Int32Array)[b * batch.time + 4] = row[from + 5];
        });
        yield batch;
      }
    }
    const cut = new NGram(base, { order: 3 });
    cut.fit(chunks, () => []);
    const batch = nextBatch(rows);
    expect([...cut.predict(batch)]).toEqual([...whole.predict(batch)]);
    expect(cut.choice).toEqual(whole.choice);
  });

  it("score alike as a baseline, a generator and a scorer of single codes", () => {
    const ngram = new NGram(base, { order: 3 });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [],
    );
    const [one, other] = [draw(rng, 6), draw(rng, 6)];
    const out = ngram.predict(nextBatch([one, other]));
    const generator = ngram.nextCodeScorer();
    const scorer = ngram.codeScorer();
    let states = [generator.initial, generator.initial];
    let single = scorer.initial;
    for (let t = 0; t < 6; t++) {
      const next = generator.advance(states, [one[t], other[t]]);
      states = next.states;
      single = scorer.advance(single, one[t]).state;
      for (let code = 0; code < V; code++) {
        expect(next.logProbabilities[code]).toBeCloseTo(out[t * V + code], 5);
        expect(next.logProbabilities[V + code]).toBeCloseTo(out[(6 + t) * V + code], 5);
        expect(scorer.advance(single, code).logProbability).toBeCloseTo(next.logProbabilities[code], 12);
      }
    }
  });

  it("of target sequences know how a sequence begins", () => {
    const spec = SPECS["tokens"];
    const batch = batchOf(spec, seed(3), [3, 2, 4]);
    batch.tokens?.set([0, 1, 2]);
    batch.tokens?.set([0, 1], batch.time);
    batch.tokens?.set([0, 2, 2, 1], 2 * batch.time);
    const scorer = WittenBell.fromTokens([batch], { vocabSize: 3, order: 2 }).codeScorer();
    const first = [0, 1, 2].map((code) => Math.exp(scorer.advance(scorer.initial, code).logProbability));
    expect(first[0] + first[1] + first[2]).toBeCloseTo(1, 12);
    // Of 9 codes 3 are 0, of 3 kinds: P(0) = (3 + 3 / 3) / 12. After the beginning 3 of 3 are 0, of 1 kind.
    expect(first[0]).toBeCloseTo((3 + 4 / 12) / 4, 12);
  });

  it("leave out orders that would have too many entries", () => {
    const ngram = new NGram(base, { order: [1, 2, 3, 4], maxEntries: 60 });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [nextBatch(rows)],
    );
    expect(ngram.choice.order).toBe(2);
    expect(ngram.choice.sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(60);
  });

  it("end every context at a number that is no code, and refuse orders that are none", () => {
    const ngram = new NGram(base, { order: 3 });
    ngram.fit(
      () => [nextBatch(rows)],
      () => [],
    );
    const broken = nextBatch([[1, 2, 3, 4]]);
    broken.x[2 * 1 + 1] = Number.NaN;
    const after = ngram.predict(broken).subarray(2 * V);
    const fresh = ngram.predict(nextBatch([[3, 4]]));
    expect([...after]).toEqual([...fresh]);
    for (const order of [0, 1.5, 17, []]) expect(() => new NGram(base, { order }), String(order)).toThrow(/OST_RANGE/);
    expect(() => new NGram({ ...base, codes: undefined })).toThrow(/OST_TARGET/);
    expect(NGram.applies({ ...base, codes: [{ column: 1, size: 4, width: 1 }] })).toBe(false);
  });
});

describe("a count table", () => {
  const table = new CountTable(base, { keys: 1 });
  const two = new CountTable(base, { keys: 2 });
  for (const one of [table, two]) {
    one.fit(
      () => [
        nextBatch([
          [0, 1],
          [0, 1],
          [0, 2],
          [0, 3],
          [1, 0, 4],
        ]),
      ],
      () => [],
    );
  }
  const ranksOf = (one: CountTable, row: number[]) => [...one.ranks(nextBatch([row]))];

  it("ranks a key by how many followed more often; what never followed has no rank", () => {
    expect([1, 2, 3, 4, 0].map((key) => ranksOf(table, [0, key])[0])).toEqual([1, 2, 2, 2, 6]);
    expect(ranksOf(table, [0, 1, 0, 4])).toEqual([1, 1, 2, 0]);
    expect(ranksOf(two, [1, 0, 1])).toEqual([1, 6, 0]);
    expect(ranksOf(two, [1, 0, 4])).toEqual([1, 1, 0]);
  });

  it("ranks by its log-probabilities, and knows nothing after keys it never saw", () => {
    const out = table.predict(nextBatch([[0, 4, 2]]));
    expect(out[1]).toBeCloseTo(Math.log((2 + 0.2) / 6), 6);
    expect(out[0]).toBeCloseTo(Math.log(0.2 / 6), 6);
    expect([...out.subarray(V, 2 * V)]).toEqual(new Array(V).fill(Math.fround(-Math.log(V))));
    expect(() => new CountTable(base, { keys: 3 as 1 })).toThrow(/OST_RANGE/);
  });
});

describe("the most frequent tag", () => {
  const spec = { ...SPECS["tags"], codes: [{ column: 1, size: 50, width: 1 }] };
  const tagged = (pairs: [number, number][]): Batch => {
    const batch = batchOf(spec, seed(1), [pairs.length]);
    pairs.forEach(([code, tag], t) => {
      batch.x[2 * t + 1] = code;
      (batch.classes as Int32Array)[t] = tag;
    });
    return batch;
  };
  const train: [number, number][] = [
    ...([0, 0, 0, 1] as const).map((tag): [number, number] => [7, tag]),
    ...([1, 1, 0, 0] as const).map((tag): [number, number] => [8, tag]),
    [9, 2],
    [10, 2],
    [11, 0],
  ];
  const labelsOf = (validation: [number, number][], codes: number[]) => {
    const baseline = new MostFrequentTag(spec);
    baseline.fit(
      () => [tagged(train)],
      () => (validation.length > 0 ? [tagged(validation)] : []),
    );
    const out = baseline.predict(tagged(codes.map((code) => [code, -1])));
    return codes.map((_, t) => {
      const own = [...out.subarray(3 * t, 3 * t + 3)];
      return own.indexOf(Math.max(...own));
    });
  };

  it("is each code's majority; an unseen code has the class of codes seen once, or of the validation part's unseen ones", () => {
    expect(labelsOf([], [7, 11, 40])).toEqual([0, 0, 2]);
    expect(
      labelsOf(
        [
          [41, 1],
          [42, 1],
          [7, 0],
        ],
        [7, 9, 40, 8],
      ),
    ).toEqual([0, 2, 1, 1]);
  });

  it("reads the column that says most", () => {
    const spread = { ...SPECS["tags"], codes: ["noise", "code"].map((_, column) => ({ column, size: 50, width: 1 })) };
    const pass = (value: number) => () => {
      const batch = batchOf(spread, seed(value), new Array(40).fill(10));
      for (let i = 0; i < batch.x.length; i += 2) batch.x[i] = seed(value + i).integer(6);
      return [batch];
    };
    const baseline = new MostFrequentTag(spread);
    baseline.fit(pass(1), pass(2));
    expect((baseline.toJSON().options as { column: number }).column).toBe(1);
  });
});

describe("baselines of target sequences", () => {
  const spec = SPECS["tokens"];
  const pairs = (sources: number[][], targets: number[][]): Batch => {
    const batch = batchOf(
      spec,
      seed(1),
      sources.map(({ length }) => length),
    );
    sources.forEach((source, b) => {
      source.forEach((code, t) => {
        batch.x[(b * batch.time + t) * 2 + 1] = code;
      });
    });
    const most = Math.max(1, ...targets.map(({ length }) => length));
    const tokens = new Int32Array(targets.length * most).fill(-1);
    targets.forEach((target, b) => {
      tokens.set(target, b * most);
    });
    return { ...batch, tokens, tokenLengths: Int32Array.from(targets, ({ length }) => length) };
  };
  const sources = [[0, 1, 2], [2, 1, 0], [3, 3, 4], [4]];
  const train = pairs(sources, [[0], [1, 1], [2, 0, 2], [1, 1]]);
  const learned = <B extends Baseline>(baseline: B): B => {
    baseline.fit(
      () => [train],
      () => [],
    );
    return baseline;
  };
  const found = (baseline: Baseline, rows: number[][]) =>
    baseline
      .decode?.(
        pairs(
          rows,
          rows.map(() => []),
        ),
      )
      .map(({ tokens }) => tokens);

  it("the most frequent sequence is the commonest target", () => {
    expect(found(learned(new MostFrequentSequence(spec)), [[0], []])).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  it("the nearest source has the same codes, then the same order, and is the first of those as near", () => {
    const nearest = learned(new NearestSource(spec));
    expect(found(nearest, [...sources, [3, 4, 3], [2, 1, 1, 0], [0], []])).toEqual([
      [0],
      [1, 1],
      [2, 0, 2],
      [1, 1],
      [2, 0, 2],
      [1, 1],
      [0],
      [0],
    ]);
    const narrow = learned(new NearestSource(spec, { candidates: 1 }));
    expect(found(narrow, [[2, 1, 0]])).toEqual([[0]]);
    expect(() => new NearestSource(spec, { candidates: 0 })).toThrow(/OST_RANGE/);
    expect(() => new NearestSource({ ...spec, codes: [] })).toThrow(/OST_TARGET/);
  });

  it("keeps no more examples than asked for", () => {
    const few = learned(new NearestSource(spec, { maxExamples: 2 }));
    expect((few.toJSON().options as { examples: number }).examples).toBe(2);
    expect(found(few, [[4]])).toEqual([[2, 0, 2]]);
  });
});

describe("a Markov chain per key", () => {
  it("counts what follows on and off, scaled inputs too, and keeps a key that never sounds finite", () => {
    const spec: ExampleSpec = {
      ...SPECS["frames"],
      features: ["a", "b"],
      targets: ["a", "b"],
      targetFeature: [0, 1],
      horizon: 1,
    };
    const frames = [1, 1, 0, 0, 0, 1, 0];
    const batchOfFrames = (on: number, off: number): Batch => ({
      ...batchOf(spec, seed(1), [frames.length - 1]),
      x: Float32Array.from(frames.slice(0, -1).flatMap((frame) => [frame === 1 ? on : off, off])),
      values: Float32Array.from(frames.slice(1).flatMap((frame) => [frame, 0])),
    });
    for (const [on, off] of [
      [1, 0],
      [2.5, -0.4],
    ]) {
      const chain = new KeyMarkov(spec);
      const batch = batchOfFrames(on, off);
      chain.fit(
        () => [batch],
        () => [],
      );
      const odds = chain.predict(batch);
      // After on: on 1 of 3 times. After off: on 1 of 3 times. The second key: never in 6.
      expect(odds[0]).toBeCloseTo(Math.log(1.5 / 2.5), 6);
      expect(odds[4]).toBeCloseTo(Math.log(1.5 / 2.5), 6);
      expect(odds[1]).toBeCloseTo(Math.log(0.5 / 6.5), 6);
      expect(chain.distributional).toBe(true);
    }
    expect(KeyMarkov.applies({ ...spec, targetFeature: [0, -1] })).toBe(false);
    expect(() => new KeyMarkov({ ...spec, distribution: undefined })).toThrow(/OST_TARGET/);
  });
});
