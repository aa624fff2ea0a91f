/**
 * @file The two logarithmic 8-bit codes of telephony, A-law and mu-law (ITU-T Recommendation G.711, 1988), as 16-bit sample values.
 */

/** Sample values of the 256 mu-law codes, -32124 .. 32124. */
export const MU_LAW: Int16Array = Int16Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84;
  return bits & 0x80 ? -magnitude : magnitude;
});

/** Sample values of the 256 A-law codes, -32256 .. 32256. */
export const A_LAW: Int16Array = Int16Array.from({ length: 256 }, (_, code) => {
  const bits = code ^ 0x55;
  const segment = (bits >> 4) & 7;
  const step = ((bits & 0x0f) << 4) + 8;
  const magnitude = segment === 0 ? step : (step + 0x100) << (segment - 1);
  return bits & 0x80 ? magnitude : -magnitude;
});
