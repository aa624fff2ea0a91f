/**
 * @file Slopes of features over time, without a look ahead.
 *
 * The slope is the regression over five frames of Furui (1986) and The HTK Book: sum over n = 1, 2 of n (c[t + n] - c[t - n]), divided
 * by 10. That formula at frame t needs frame t + 2. Here frame k carries the slope at t = k - 2, so that it is the slope of the frames
 * k - 4 .. k: the published numbers, two frames later, and no frame depends on a later one. Frames before the first count as equal to it.
 */

/** Frames that one slope is taken over. */
export const DELTA_SPAN = 5;

/**
 * Takes the next frame of a history and writes the slope over its last five.
 *
 * @param history [DELTA_SPAN, width], oldest frame first.
 * @param first whether `frame` is the first of its recording.
 * @param slope [width], overwritten.
 */
export function pushDelta(history: Float64Array, frame: Float64Array, first: boolean, slope: Float64Array): void {
  const width = frame.length;
  if (first) for (let t = 0; t < DELTA_SPAN; t++) history.set(frame, t * width);
  else {
    history.copyWithin(0, width);
    history.set(frame, (DELTA_SPAN - 1) * width);
  }
  for (let i = 0; i < width; i++) {
    slope[i] = (history[3 * width + i] - history[width + i] + 2 * (history[4 * width + i] - history[i])) / 10;
  }
}
