/**
 * @file Two pictures over the last two minutes: the probabilities as a stacked band, the hidden state as a heat strip.
 *
 * Both are drawn column by column from the same map of time to steps, so that what stands below what happened at the same moment.
 */
import { classColor, type HeatColors, heatPixel } from "./color.js";
import { type History, predictionOf } from "./history.js";

/** Draws the probabilities of `classes`, the first at the bottom. */
export function drawBand(canvas: HTMLCanvasElement, history: History, classes: readonly string[]): void {
  const context = prepare(canvas);
  const { width, height } = canvas;
  const columns = history.columns(width);
  for (let x = 0; x < width; x++) {
    const probabilities = columns[x] >= 0 ? predictionOf(history.steps[columns[x]])?.probabilities : undefined;
    if (!probabilities) continue;
    let low = height;
    classes.forEach((name, i) => {
      const high = low - (probabilities[name] ?? 0) * height;
      context.fillStyle = classColor(i);
      context.fillRect(x, high, 1, low - high);
      low = high;
    });
  }
  drawMarks(canvas, context, history);
}

/** Draws one row per hidden unit, the first on top. Returns the magnitude at which the colours are full. */
export function drawHeat(canvas: HTMLCanvasElement, history: History, colors: HeatColors): number {
  const context = prepare(canvas);
  const rows = history.at(undefined)?.view.length ?? 0;
  if (rows === 0) return 1;
  const { width, height } = canvas;
  const columns = history.columns(width);
  let scale = 1;
  for (const { view } of history.steps) for (const value of view) scale = Math.max(scale, Math.abs(value));
  const image = new ImageData(width, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let x = 0; x < width; x++) {
    if (columns[x] < 0) continue;
    const { view } = history.steps[columns[x]];
    if (view.length !== rows) continue;
    for (let row = 0; row < rows; row++) pixels[row * width + x] = heatPixel(view[row] / scale, colors);
  }
  const strip = document.createElement("canvas");
  strip.width = width;
  strip.height = rows;
  strip.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = rows > height;
  context.drawImage(strip, 0, 0, width, height);
  drawMarks(canvas, context, history);
  return scale;
}

/** Fits the canvas to its place in device pixels, and clears it. */
function prepare(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  return canvas.getContext("2d") as CanvasRenderingContext2D;
}

function drawMarks(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D, history: History): void {
  const ratio = window.devicePixelRatio || 1;
  const { color, backgroundColor } = getComputedStyle(canvas);
  context.font = `${10 * ratio}px system-ui, sans-serif`;
  context.lineWidth = ratio;
  for (const mark of history.marks) {
    const x = Math.round(history.fraction(mark) * canvas.width);
    if (x < 0) continue;
    context.strokeStyle = color;
    context.setLineDash([3 * ratio, 3 * ratio]);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, canvas.height);
    context.stroke();
    const width = context.measureText(mark.kind).width + 8 * ratio;
    const left = x > canvas.width / 2 ? x - width - ratio : x + ratio;
    context.fillStyle = backgroundColor;
    context.fillRect(left, 0, width, 15 * ratio);
    context.fillStyle = color;
    context.fillText(mark.kind, left + 4 * ratio, 11 * ratio);
  }
  context.setLineDash([]);
}
