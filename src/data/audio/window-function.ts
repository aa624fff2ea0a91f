/**
 * @file Tapers that a frame is multiplied with before its Fourier transform.
 */

export const WINDOWS = ["hann", "hamming", "povey"] as const;
export type WindowName = (typeof WINDOWS)[number];

/**
 * A symmetric window, w[0] = w[length - 1]. hann: (1 - cos) / 2 and hamming: 0.54 - 0.46 cos, after Blackman and Tukey, "The
 * Measurement of Power Spectra" (1958); povey: hann to the power of 0.85, as in Kaldi (Povey et al., 2011).
 */
export function windowFunction(name: WindowName, length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => {
    const cosine = Math.cos((2 * Math.PI * i) / (length - 1));
    if (name === "hamming") return 0.54 - 0.46 * cosine;
    const hann = 0.5 - 0.5 * cosine;
    return name === "povey" ? hann ** 0.85 : hann;
  });
}
