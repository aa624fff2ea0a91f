/**
 * @file Whether a confidence of 0.8 is right in 80 of 100 cases: expected calibration error (Guo et al. 2017, ICML) and the reliability table.
 *
 *     ECE = sum over bins of (n_b / n) |accuracy_b - confidence_b|          equal-width bins of the confidence, (k/15, (k+1)/15]
 *
 * Equal-width bins leave most confidences in the last one; adaptive bins hold about as many each (Nixon et al. 2019).
 */
import { OstinatoError } from "../../core/errors.js";

const BINS = 15;

/** One line of a reliability table. Empty bins are left out. */
export interface ReliabilityBin {
  /** Equal width: the bin's borders. Adaptive: the lowest and the highest confidence in it. */
  from: number;
  to: number;
  n: number;
  /** Means over the bin. */
  confidence: number;
  accuracy: number;
}

export interface Reliability {
  n: number;
  ece: number;
  meanConfidence: number;
  bins: ReliabilityBin[];
}

/** Running sums over equal-width bins. */
export class CalibrationSums {
  readonly #bins: number;
  readonly #counts: Float64Array;
  readonly #confidence: Float64Array;
  readonly #right: Float64Array;

  constructor(bins = BINS) {
    this.#bins = requireBins(bins);
    this.#counts = new Float64Array(bins);
    this.#confidence = new Float64Array(bins);
    this.#right = new Float64Array(bins);
  }

  /** @param confidence probability given to the predicted class, 0 .. 1 */
  add(confidence: number, right: boolean): void {
    const bin = Math.min(this.#bins - 1, Math.max(0, Math.ceil(confidence * this.#bins) - 1));
    this.#counts[bin]++;
    this.#confidence[bin] += confidence;
    if (right) this.#right[bin]++;
  }

  /** NaN, and no bins, when nothing was added. */
  result(): Reliability {
    const found = Array.from(this.#counts, (n, bin) => ({
      from: bin / this.#bins,
      to: (bin + 1) / this.#bins,
      n,
      confidence: this.#confidence[bin],
      right: this.#right[bin],
    }));
    return reliabilityOf(found.filter(({ n }) => n > 0));
  }
}

/**
 * The reliability table of a list of confidences.
 *
 * @param right true or 1 where the prediction was right
 * @throws OST_SHAPE if the two differ in length. @throws OST_NAN if a confidence lies outside 0 .. 1. @throws OST_TARGET if there are none.
 */
export function reliability(
  confidences: ArrayLike<number>,
  right: ArrayLike<number | boolean>,
  { bins = BINS, adaptive = false }: { bins?: number; adaptive?: boolean } = {},
): Reliability {
  const n = confidences.length;
  if (right.length !== n || n === 0) {
    throw new OstinatoError(n === 0 ? "OST_TARGET" : "OST_SHAPE", {
      what: n === 0 ? "there is no confidence to hold against the truth" : "every confidence needs to be known as right or wrong",
      expected: n === 0 ? "at least one" : `${n} outcomes`,
      got: String(right.length),
      where: "reliability",
    });
  }
  for (let i = 0; i < n; i++) {
    if (confidences[i] >= 0 && confidences[i] <= 1) continue;
    throw new OstinatoError("OST_NAN", {
      what: "a confidence is no probability",
      expected: "0 .. 1",
      got: `${confidences[i]} at ${i}`,
      where: "reliability",
    });
  }
  if (!adaptive) {
    const sums = new CalibrationSums(bins);
    for (let i = 0; i < n; i++) sums.add(confidences[i], Boolean(right[i]));
    return sums.result();
  }
  requireBins(bins);
  const order = Uint32Array.from(confidences, (_, i) => i).sort((i, j) => confidences[i] - confidences[j]);
  const found: BinSums[] = [];
  let current: BinSums | undefined;
  let filled = 0;
  order.forEach((i, rank) => {
    const confidence = confidences[i];
    // Equal confidences stay together, whatever the order of the examples.
    const tied = rank > 0 && confidence === confidences[order[rank - 1]];
    if (!current || (!tied && rank >= ((filled + 1) * n) / bins)) {
      while (rank >= ((filled + 1) * n) / bins) filled++;
      current = { from: confidence, to: confidence, n: 0, confidence: 0, right: 0 };
      found.push(current);
    }
    current.to = confidence;
    current.n++;
    current.confidence += confidence;
    if (right[i]) current.right++;
  });
  return reliabilityOf(found);
}

interface BinSums {
  from: number;
  to: number;
  n: number;
  /** Sums. */
  confidence: number;
  right: number;
}

function reliabilityOf(sums: readonly BinSums[]): Reliability {
  let [n, gap, total] = [0, 0, 0];
  for (const bin of sums) {
    n += bin.n;
    gap += Math.abs(bin.right - bin.confidence);
    total += bin.confidence;
  }
  return {
    n,
    ece: gap / n,
    meanConfidence: total / n,
    bins: sums.map(({ from, to, n: count, confidence, right }) => ({
      from,
      to,
      n: count,
      confidence: confidence / count,
      accuracy: right / count,
    })),
  };
}

function requireBins(bins: number): number {
  if (Number.isInteger(bins) && bins >= 1) return bins;
  throw new OstinatoError("OST_RANGE", {
    what: "bins are counted",
    expected: "1 or more",
    got: String(bins),
    where: "calibration",
  });
}
