/* The vector type of all kernels, and the functions of one vector that they share.
 *
 * What a target decides about arithmetic stands in this file: the width, the square root and the fused multiply-add. The rest of the
 * sources is plain C99 with GCC's vector extensions (clang has them too), so the same sources serve WebAssembly and native builds.
 *
 * VECTOR_WIDTH counts floats: 4 WebAssembly, NEON and SSE2, 8 AVX2, 16 AVX-512.
 *
 * Build without -ffast-math: it assumes that no value is NaN, and here NaN has to pass through everything.
 */
#ifndef OSTINATO_VECTOR_H
#define OSTINATO_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#ifndef VECTOR_WIDTH
#define VECTOR_WIDTH 4
#endif

#if defined(__wasm__)
#include <wasm_simd128.h>
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name)
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline, unused))

/* Loops over the rows and vectors of a tile have constant bounds once their function is inlined; unrolled, their arrays are registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

typedef float vec __attribute__((vector_size(VECTOR_WIDTH * 4)));
typedef uint32_t bits __attribute__((vector_size(VECTOR_WIDTH * 4)));

INLINE vec splat(float x) {
#if VECTOR_WIDTH == 16
  return (vec)_mm512_set1_ps(x);
#elif VECTOR_WIDTH == 8
  return (vec)_mm256_set1_ps(x);
#else
  return (vec){x, x, x, x};
#endif
}

INLINE vec load(const float *p) {
  vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, vec v) { __builtin_memcpy(p, &v, sizeof v); }

/* The first `lanes` floats at p, and `fill` in the lanes after them; nothing behind the last one is touched. */
static NOINLINE vec load_some(const float *p, int lanes, float fill) {
  float t[VECTOR_WIDTH];
  for (int lane = 0; lane < VECTOR_WIDTH; lane++) t[lane] = lane < lanes ? p[lane] : fill;
  return load(t);
}

static NOINLINE void store_some(float *p, vec v, int lanes) {
  float t[VECTOR_WIDTH];
  store(t, v);
  for (int lane = 0; lane < lanes; lane++) p[lane] = t[lane];
}

/* The same where all lanes often exist: then one load or store. */
INLINE vec load_filled(const float *p, int lanes, float fill) { return lanes >= VECTOR_WIDTH ? load(p) : load_some(p, lanes, fill); }

INLINE vec load_lanes(const float *p, int lanes) { return load_filled(p, lanes, 0.0f); }

INLINE void store_lanes(float *p, vec v, int lanes) {
  if (lanes >= VECTOR_WIDTH) store(p, v);
  else store_some(p, v, lanes);
}

/* Runs BODY for the lanes of one vector: as a constant where all exist, so that every load and store in it is a plain one. */
#define FOR_LANES(LEFT, BODY)                                                                                                           \
  do {                                                                                                                                  \
    if ((LEFT) >= VECTOR_WIDTH) {                                                                                                       \
      const int lanes = VECTOR_WIDTH;                                                                                                   \
      BODY;                                                                                                                             \
    } else {                                                                                                                            \
      const int lanes = (LEFT);                                                                                                         \
      BODY;                                                                                                                             \
    }                                                                                                                                   \
  } while (0)

/* a * b + c. Every inner product of the kernels is a chain of these, so that a build rounds all of them alike: once where the target has a
 * fused multiply-add, else twice (simd128, SSE2). */
INLINE vec multiply_add(vec a, vec b, vec c) {
#if VECTOR_WIDTH == 16
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif VECTOR_WIDTH == 8
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__wasm_relaxed_simd__)
  return (vec)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#else
  return a * b + c;
#endif
}

INLINE vec square_root(vec v) {
#if VECTOR_WIDTH == 16
  return (vec)_mm512_sqrt_ps((__m512)v);
#elif VECTOR_WIDTH == 8
  return (vec)_mm256_sqrt_ps((__m256)v);
#elif defined(__wasm__)
  return (vec)wasm_f32x4_sqrt((v128_t)v);
#elif defined(__x86_64__)
  return (vec)_mm_sqrt_ps((__m128)v);
#else
  return (vec)vsqrtq_f32((float32x4_t)v);
#endif
}

/* Per lane: where `where` has all bits set a, where it has none b. */
INLINE vec choose(bits where, vec a, vec b) { return (vec)(((bits)a & where) | ((bits)b & ~where)); }

INLINE bits less(vec a, vec b) { return (bits)(a < b); }

INLINE vec absolute(vec v) { return (vec)((bits)v & 0x7fffffffu); }

/* What vanishes step by step would otherwise end as denormals, which cost a hundred times as much to compute with. WebAssembly has no mode
 * that flushes them, so there values below TINY become zero here; NaN, for which the comparison is false, stays. Native calls run in the
 * processor's own flushing mode (flush.h), and this costs nothing. */
#define TINY 1e-30f
INLINE vec flush(vec v) {
#if defined(__wasm__)
  return (vec)((bits)v & ~less(absolute(v), splat(TINY)));
#else
  return v;
#endif
}

/* exp(x) = scale * (1 + fraction) for -87 <= x <= 0, where scale is a power of two and |fraction| < 0.42.
 *
 * x = n ln 2 + r with |r| <= ln(2)/2; fraction = exp(r) - 1 = r * P(r). P is the polynomial of degree 5 with P(0) = 1 of least
 * relative error (1.4e-8, fitted by Lawson's iteration). In Horner's form no intermediate value is smaller than r; a term r * r would be
 * a denormal for small r. ln 2 is subtracted in two parts, the first of which has few enough bits for n times it to be exact. Adding
 * 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits. A NaN makes `fraction` NaN. */
INLINE void exp_parts(vec x, vec *scale, vec *fraction) {
  const vec shifted = x * 1.44269504f + 12582912.0f;
  const vec n = shifted - 12582912.0f;
  vec r = multiply_add(n, splat(-0.693359375f), x);
  r = multiply_add(n, splat(2.12194440e-4f), r);
  vec p = splat(0.0013882489f);
  p = multiply_add(p, r, splat(0.008366692f));
  p = multiply_add(p, r, splat(0.041667204f));
  p = multiply_add(p, r, splat(0.16666542f));
  p = multiply_add(p, r, splat(0.49999997f));
  p = multiply_add(p, r, splat(1.0f));
  *fraction = p * r;
  *scale = (vec)(((bits)shifted << 23) + 0x3f800000u);
}

/* exp(x) for x <= 0, relative error below 1.5e-7; zero for x < -69.1, where it is below TINY. */
INLINE vec exp_negative(vec x) {
  vec scale, fraction;
  exp_parts(x, &scale, &fraction);
  return (vec)((bits)multiply_add(scale, fraction, scale) & ~less(x, splat(-69.1f)));
}

/* 1 / (1 + exp(-x)), relative error below 2e-7; zero for x < -69.1, where it is below TINY. With e = exp(-|x|) it is 1/(1+e) right of zero
 * and e/(1+e) left of it: both are at most 1, and both halves use the same e. */
INLINE vec vector_sigmoid(vec x) {
  const vec e = exp_negative(-absolute(x));
  return choose(less(x, splat(0.0f)), e, splat(1.0f)) / (e + 1.0f);
}

/* tanh(x), relative error below 2.5e-7; zero for |x| < TINY. With m = exp(-2|x|) - 1 in [-1, 0] it is -m / (2 + m), which does not cancel
 * near zero and is at most 1 because m >= -1; the sign of x is put back at the end, so that tanh(-x) = -tanh(x) in every bit. */
INLINE vec vector_tanh(vec x) {
  const vec size = absolute(flush(x));
  vec scale, fraction;
  exp_parts(size * -2.0f, &scale, &fraction);
  const vec m = choose(less(splat(10.0f), size), splat(-1.0f), multiply_add(scale, fraction, scale - 1.0f));
  const vec y = -m / (m + 2.0f);
  return (vec)(((bits)y & 0x7fffffffu) | ((bits)x & 0x80000000u));
}

#endif
