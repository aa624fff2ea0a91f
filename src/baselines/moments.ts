/**
 * @file First and second moments of inputs and outputs: all that least squares needs of its data.
 *
 * From them come the ridge solution for every penalty and every subset of inputs, and the mean squared error of any linear map on the
 * data they summarise, so that choosing a penalty on the validation part costs no further pass over either part.
 */

/** Means and covariances (divided by n) of inputs x and outputs y. */
export interface Covariances {
  n: number;
  inputs: number;
  outputs: number;
  meanX: Float64Array;
  meanY: Float64Array;
  /** [inputs, inputs] */
  xx: Float64Array;
  /** [inputs, outputs] */
  xy: Float64Array;
  /** [outputs], variances only */
  yy: Float64Array;
}

const BLOCK = 4;

/** Accumulates moments in float64, four rows at a time. */
export class Moments {
  readonly inputs: number;
  readonly outputs: number;
  n = 0;
  readonly #sumX: Float64Array;
  readonly #sumY: Float64Array;
  readonly #xx: Float64Array;
  readonly #xy: Float64Array;
  readonly #yy: Float64Array;
  readonly #x: Float64Array[];
  readonly #y: Float64Array[];
  #held = 0;

  constructor(inputs: number, outputs: number) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.#sumX = new Float64Array(inputs);
    this.#sumY = new Float64Array(outputs);
    this.#xx = new Float64Array(inputs * inputs);
    this.#xy = new Float64Array(inputs * outputs);
    this.#yy = new Float64Array(outputs);
    this.#x = Array.from({ length: BLOCK }, () => new Float64Array(inputs));
    this.#y = Array.from({ length: BLOCK }, () => new Float64Array(outputs));
  }

  /** Adds one example: `write` fills the input row and the output row it is given. */
  add(write: (x: Float64Array, y: Float64Array) => void): void {
    write(this.#x[this.#held], this.#y[this.#held]);
    this.n++;
    if (++this.#held === BLOCK) this.#flush();
  }

  /** Adds the held rows; rows not held are zero and add nothing. */
  #flush(): void {
    const { inputs, outputs } = this;
    for (let r = this.#held; r < BLOCK; r++) {
      this.#x[r].fill(0);
      this.#y[r].fill(0);
    }
    this.#held = 0;
    const [x0, x1, x2, x3] = this.#x;
    const [y0, y1, y2, y3] = this.#y;
    const xx = this.#xx;
    const xy = this.#xy;
    for (let i = 0; i < inputs; i++) this.#sumX[i] += x0[i] + x1[i] + x2[i] + x3[i];
    for (let i = 0; i < inputs; i += 2) {
      // Two inputs at a time, so that each loaded value serves twice. The second is the first again when their number is odd.
      const k = Math.min(i + 1, inputs - 1);
      const share = k > i ? 1 : 0;
      const [a0, a1, a2, a3] = [x0[i], x1[i], x2[i], x3[i]];
      const [b0, b1, b2, b3] = [share * x0[k], share * x1[k], share * x2[k], share * x3[k]];
      for (let j = 0, p = i * inputs, q = k * inputs; j <= k; j++, p++, q++) {
        const u0 = x0[j];
        const u1 = x1[j];
        const u2 = x2[j];
        const u3 = x3[j];
        xx[p] += a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3;
        xx[q] += b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3;
      }
      for (let j = 0, p = i * outputs, q = k * outputs; j < outputs; j++, p++, q++) {
        const u0 = y0[j];
        const u1 = y1[j];
        const u2 = y2[j];
        const u3 = y3[j];
        xy[p] += a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3;
        xy[q] += b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3;
      }
    }
    for (let j = 0; j < outputs; j++) {
      this.#sumY[j] += y0[j] + y1[j] + y2[j] + y3[j];
      this.#yy[j] += y0[j] ** 2 + y1[j] ** 2 + y2[j] ** 2 + y3[j] ** 2;
    }
  }

  /** The covariances of everything added so far; needs at least one example. */
  covariances(): Covariances {
    if (this.#held > 0) this.#flush();
    const { inputs, outputs, n } = this;
    const meanX = this.#sumX.map((sum) => sum / n);
    const meanY = this.#sumY.map((sum) => sum / n);
    const xx = new Float64Array(inputs * inputs);
    const xy = new Float64Array(inputs * outputs);
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j <= i; j++) {
        xx[i * inputs + j] = xx[j * inputs + i] = this.#xx[i * inputs + j] / n - meanX[i] * meanX[j];
      }
      for (let j = 0; j < outputs; j++) xy[i * outputs + j] = this.#xy[i * outputs + j] / n - meanX[i] * meanY[j];
    }
    const yy = this.#yy.map((sum, j) => Math.max(0, sum / n - meanY[j] ** 2));
    return { n, inputs, outputs, meanX, meanY, xx, xy, yy };
  }
}

/** The covariances of some inputs and some outputs only. */
export function selectCovariances(all: Covariances, inputs: number[], outputs: number[]): Covariances {
  const xx = new Float64Array(inputs.length ** 2);
  const xy = new Float64Array(inputs.length * outputs.length);
  inputs.forEach((from, i) => {
    inputs.forEach((to, j) => {
      xx[i * inputs.length + j] = all.xx[from * all.inputs + to];
    });
    outputs.forEach((to, j) => {
      xy[i * outputs.length + j] = all.xy[from * all.outputs + to];
    });
  });
  return {
    n: all.n,
    inputs: inputs.length,
    outputs: outputs.length,
    meanX: Float64Array.from(inputs, (i) => all.meanX[i]),
    meanY: Float64Array.from(outputs, (j) => all.meanY[j]),
    xx,
    xy,
    yy: Float64Array.from(outputs, (j) => all.yy[j]),
  };
}
