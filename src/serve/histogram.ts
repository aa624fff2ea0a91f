/**
 * @file A histogram for what happens at every step: whoever counts keeps the cell of its labels, and a value costs some comparisons. The
 * registry reads it as it reads prom-client's own, whose cells are found by a hash of their labels for every value.
 */

/** The counts of one set of labels. */
export class HistogramCell {
  readonly counts: Float64Array;
  sum = 0;

  /** @param edges upper edges of the bins but the last, whose is infinite. */
  constructor(
    readonly edges: readonly number[],
    readonly labels: Readonly<Record<string, string>>,
  ) {
    this.counts = new Float64Array(edges.length + 1);
  }

  /** Counts a value; one that is not finite is left out. */
  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    const { edges } = this;
    let bin = 0;
    while (bin < edges.length && value > edges[bin]) bin++;
    this.counts[bin]++;
    this.sum += value;
  }
}

interface Sample {
  metricName: string;
  labels: Record<string, string | number>;
  value: number;
}

export class CellHistogram {
  readonly type = "histogram";
  readonly aggregator = "sum";
  readonly #cells = new Map<string, HistogramCell>();

  constructor(
    readonly name: string,
    readonly help: string,
    readonly edges: readonly number[],
  ) {}

  /** The cell of these labels, always the same one. */
  cell(labels: Readonly<Record<string, string>>): HistogramCell {
    const key = JSON.stringify(labels);
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = new HistogramCell(this.edges, labels);
      this.#cells.set(key, cell);
    }
    return cell;
  }

  /** As the registry asks for it. */
  async get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: Sample[] }> {
    const { name, help, type, aggregator } = this;
    const values: Sample[] = [];
    for (const { labels, edges, counts, sum } of this.#cells.values()) {
      let total = 0;
      counts.forEach((count, i) => {
        total += count;
        values.push({ metricName: `${name}_bucket`, labels: { le: edges[i] ?? "+Inf", ...labels }, value: total });
      });
      values.push({ metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total });
    }
    return { name, help, type, aggregator, values };
  }
}
