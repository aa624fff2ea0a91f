/** @file What came of one step request: numbers as they came, named when somebody looks. */
import type { WirePrediction } from "../protocol/event.js";
import type { NamingFacts, OutputNumbers } from "../protocol/frames.js";
import { describePredictions } from "./prediction.js";
import type { RefusedError } from "./refusal.js";

export interface StepFacts {
  /** Number of the first record applied. */
  firstSeq: number;
  /** Records applied. */
  count: number;
  incarnation: number;
  repeated: boolean;
  boundary: boolean;
  numbers: OutputNumbers;
  naming: NamingFacts;
  error: RefusedError | null;
}

export class StepAnswer {
  readonly firstSeq: number;
  /** Records of the request that were applied. */
  readonly count: number;
  readonly incarnation: number;
  /** The stored answer to a request that came before: nothing was applied again. */
  readonly repeated: boolean;
  /** The state began afresh before one of these records, by a rule of the model. */
  readonly boundary: boolean;
  /** The predictions as numbers. */
  readonly numbers: OutputNumbers;
  /** Why the records after the first `count` were not applied. */
  readonly error: RefusedError | null;
  readonly #naming: NamingFacts;
  #predictions: WirePrediction[] | null = null;

  constructor({ firstSeq, count, incarnation, repeated, boundary, numbers, naming, error }: StepFacts) {
    this.firstSeq = firstSeq;
    this.count = count;
    this.incarnation = incarnation;
    this.repeated = repeated;
    this.boundary = boundary;
    this.numbers = numbers;
    this.error = error;
    this.#naming = naming;
  }

  /** Number of the last record applied. */
  get seq(): number {
    return this.firstSeq + this.count - 1;
  }

  /** The predictions with the names of classes and targets. A record makes none, one, or several. */
  get predictions(): readonly WirePrediction[] {
    this.#predictions ??= describePredictions(this.#naming, this.numbers);
    return this.#predictions;
  }
}
