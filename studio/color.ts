/** @file Colours: one per class, and the two-sided scale of the hidden state. */

/** Told apart also by those who see fewer colours; the first eight differ in lightness too. */
const CLASS_COLORS = [
  "#4c78a8",
  "#f58518",
  "#54a24b",
  "#e45756",
  "#79c7c1",
  "#b279a2",
  "#eeca3b",
  "#9d755d",
  "#bab0ac",
  "#6b5bd2",
];

export function classColor(index: number): string {
  return index < CLASS_COLORS.length ? CLASS_COLORS[index] : `hsl(${Math.round(index * 137.508) % 360} 50% 55%)`;
}

type Rgb = [number, number, number];

export interface HeatColors {
  zero: Rgb;
  negative: Rgb;
  positive: Rgb;
}

export function heatColors(dark: boolean): HeatColors {
  return dark
    ? { zero: [26, 28, 32], negative: [94, 160, 255], positive: [255, 158, 61] }
    : { zero: [255, 255, 255], negative: [24, 84, 168], positive: [190, 84, 0] };
}

/** The colour of a value in -1..1 as the 32-bit pixel of an ImageData on a little-endian machine. */
export function heatPixel(value: number, { zero, negative, positive }: HeatColors): number {
  const side = value < 0 ? negative : positive;
  const strength = Math.min(1, Math.abs(value));
  const [r, g, b] = zero.map((from, i) => Math.round(from + (side[i] - from) * strength));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
