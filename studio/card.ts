/** @file Small multiples: one line of one column, with its name and its value at the instant looked at. */
import uPlot from "uplot";

export interface Line {
  values: (number | null)[];
  color: string;
  dashed?: boolean;
}

export class Card {
  readonly element = document.createElement("div");
  readonly plotElement = document.createElement("div");
  readonly #value = document.createElement("b");
  #plot: uPlot | undefined;

  constructor(name: string, { hoverable }: { hoverable: boolean }) {
    this.element.className = "card";
    const title = document.createElement("p");
    const label = document.createElement("span");
    label.textContent = name;
    label.title = name;
    title.append(label, this.#value);
    this.plotElement.className = "plot";
    this.element.append(title, this.plotElement);
    if (hoverable) {
      const cursor = document.createElement("i");
      cursor.className = "cursor";
      this.plotElement.append(cursor);
    }
  }

  set value(text: string) {
    this.#value.textContent = text;
  }

  /** Draws lines over `x`, which spans `range`. The number of lines may not change. */
  draw(x: number[], lines: Line[], range: [number, number]): void {
    const data = [x, ...lines.map(({ values }) => values)] as uPlot.AlignedData;
    const size = { width: Math.max(20, this.plotElement.clientWidth), height: Math.max(20, this.plotElement.clientHeight) };
    if (!this.#plot) {
      this.#plot = new uPlot(
        {
          ...size,
          padding: [4, 0, 4, 0],
          legend: { show: false },
          cursor: { show: false },
          axes: [{ show: false }, { show: false }],
          scales: { x: { time: false }, y: { range: (_plot, low, high) => around(low, high) } },
          series: [
            {},
            ...lines.map(({ color, dashed }) => ({
              stroke: color,
              width: 1.25,
              dash: dashed ? [4, 3] : undefined,
              points: { show: false },
              spanGaps: false,
            })),
          ],
        },
        data,
        this.plotElement,
      );
    } else {
      if (this.#plot.width !== size.width || this.#plot.height !== size.height) this.#plot.setSize(size);
      this.#plot.setData(data, false);
    }
    this.#plot.setScale("x", { min: range[0], max: range[1] });
  }
}

/** A constant line stands in the middle. */
function around(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}
