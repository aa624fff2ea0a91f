/* Recurrent forward passes with 8-bit weights and 8-bit activations; products are summed as integers, exactly.
 *
 *     w = a q,  a = max |w| / 127 of its row, q = round(w / a)      rows of weight_ih and of weight_hh apart; q in -127 .. 127
 *     x = s p,  s = max |x| / 127 of its row and step               the inputs and the hidden units apart; p in -127 .. 127
 *     pre-activation = bias + s_x a_ih (sum p q over the inputs) + s_h a_hh (sum p q over the hidden units)
 *
 * Rounding is to nearest, ties to even: |w - a q| <= a/2 and |x - s p| <= s/2, up to float32's own rounding. A sum of K products
 * is an int32 as long as 127 * 127 * K < 2^31; src/nn/recurrent-layer.ts refuses K > 2^17. Scaling and adding is float32 in the order written.
 *
 * Laws. The integers of a row and step depend on nothing but that row's values: whole, chunked and single steps agree bit for bit, and so do a
 * batch and its rows. Every engine finds the same integers from the same floats, because sums of integers know no order.
 *
 * A value that is not finite makes its scale NaN, and so every pre-activation of that row and step: nothing hides it. (A float32 path may
 * saturate on an infinity; this one answers NaN.) A row without any value of at least TINY counts as zeros.
 */
#include "small-weights.h"

typedef int32_t ints __attribute__((vector_size(VECTOR_WIDTH * 4)));
typedef uint8_t bytes __attribute__((vector_size(VECTOR_WIDTH)));

/* ---- Four products a lane: what a target has for it. A lane of weights is 4 bytes; all ways give the same integers. ----
 *
 * FLIPPED: every so manyth weight of a row, from the first on, is stored as q + 128; 0 stands for none. The sums then begin with -128 times the
 * sum of the activations that meet those weights. They may wrap on the way and are right at the end. */

#if VECTOR_WIDTH == 16 && defined(__AVX512VNNI__)
/* Unsigned weights times signed activations. */
enum { FLIPPED = 1 };
typedef ints Four;
INLINE Four four_of(int32_t word) { return (ints)_mm512_set1_epi32(word); }
INLINE ints add_products(Four a, ints w, ints sum) { return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)a); }

#elif VECTOR_WIDTH == 16
/* |p| times the weight with the sign of p: two such products are at most 2 * 127 * 127 < 2^15. */
enum { FLIPPED = 0 };
typedef struct {
  __m512i size;
  __mmask64 negative;
} Four;
INLINE Four four_of(int32_t word) {
  const __m512i a = _mm512_set1_epi32(word);
  return (Four){_mm512_abs_epi8(a), _mm512_movepi8_mask(a)};
}
INLINE ints add_products(Four a, ints w, ints sum) {
  const __m512i turned = _mm512_mask_sub_epi8((__m512i)w, a.negative, _mm512_setzero_si512(), (__m512i)w);
  return sum + (ints)_mm512_madd_epi16(_mm512_maddubs_epi16(a.size, turned), _mm512_set1_epi16(1));
}

#elif VECTOR_WIDTH == 8
/* As above. */
enum { FLIPPED = 0 };
typedef __m256i Four;
INLINE Four four_of(int32_t word) { return _mm256_set1_epi32(word); }
INLINE ints add_products(Four a, ints w, ints sum) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8((__m256i)w, a));
  return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#elif defined(__aarch64__)
/* With the dot product of ARMv8.2 one instruction; else products of 16 bits, added in pairs and in pairs again. */
enum { FLIPPED = 0 };
typedef int8x16_t Four;
INLINE Four four_of(int32_t word) { return vreinterpretq_s8_s32(vdupq_n_s32(word)); }
INLINE ints add_products(Four a, ints w, ints sum) {
#if defined(__ARM_FEATURE_DOTPROD)
  return (ints)vdotq_s32((int32x4_t)sum, (int8x16_t)w, a);
#else
  const int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)w), vget_low_s8(a)), high = vmull_high_s8((int8x16_t)w, a);
  return sum + (ints)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#endif
}

#else
/* Bytes 0 and 2 of each lane, then bytes 1 and 3, as 16-bit integers: two products a lane each. */
enum { FLIPPED = 2 };
typedef int16_t halves __attribute__((vector_size(16)));
typedef struct {
  halves even, odd;
} Four;
INLINE ints add_pairs(halves a, halves b, ints sum) {
#if defined(__wasm__)
  return (ints)((bits)sum + (bits)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b));
#else
  return (ints)((bits)sum + (bits)_mm_madd_epi16((__m128i)a, (__m128i)b));
#endif
}
INLINE Four four_of(int32_t word) {
  const halves a = (halves)(ints){word, word, word, word};
  return (Four){a << 8 >> 8, a >> 8};
}
INLINE ints add_products(Four a, ints w, ints sum) {
  return add_pairs(a.odd, (halves)w >> 8, add_pairs(a.even, (halves)w & 255, sum));
}
#endif

/* Whether the weights of column k are stored as q + 128. */
INLINE int is_flipped(int k) { return FLIPPED == 1 || (FLIPPED == 2 && k % 2 == 0); }

/* ---- Quantisation, of weights and activations alike ---- */

typedef struct {
  float scale, inverse;
} Scale;

/* The scale of a row of values, NaN if one of them is not finite. The largest magnitude is found among the floats' bits, where infinities and
 * NaN are larger than all else. */
static NOINLINE Scale scale_of(const float *from, int count) {
  ints largest = {0};
  for (int k = 0; k < count; k += VECTOR_WIDTH) {
    const ints size = (ints)absolute(load_lanes(from + k, count - k)), more = size > largest;
    largest = (size & more) | (largest & ~more);
  }
  union {
    int32_t bits;
    float value;
  } most = {0};
  for (int lane = 0; lane < VECTOR_WIDTH; lane++) {
    if (largest[lane] > most.bits) most.bits = largest[lane];
  }
  if (most.bits >= 0x7f800000) return (Scale){__builtin_nanf(""), 0.0f};
  if (most.value < TINY) return (Scale){0.0f, 0.0f};
  return (Scale){most.value / 127.0f, 127.0f / most.value};
}

enum { BLOCK = 16 };
static int rounded_up(int count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }

/* Writes `count` values as -127 .. 127, and zeros up to rounded_up(count). Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the
 * low bits; product and sum round apart, in every engine. */
static NOINLINE void quantize(const float *from, int count, float inverse, int8_t *to) {
  for (int k = 0; k < rounded_up(count); k += VECTOR_WIDTH) {
    const vec shifted = (k < count ? load_lanes(from + k, count - k) : splat(0.0f)) * inverse + 12582912.0f;
    const bytes low = __builtin_convertvector((bits)shifted, bytes);
    __builtin_memcpy(to + k, &low, sizeof low);
  }
}

/* ---- Packing ---- */

static size_t panel_bytes(const Pass *pass, int I, int H) {
  const size_t fours = (I + 3) / 4 * pass->inputs + (H + 3) / 4 * pass->hidden;
  return (pass->chains + pass->inputs + pass->hidden + fours) * sizeof(vec);
}

/* Rows of weights [., count], each with a scale of its own, as words of four columns: for each four one vector per chain first ..
 * first + vectors - 1. The scales get a vector per chain too. Returns the end of the weights. */
static char *pack_fours(const Pass *pass, int first, int vectors, const float *weights, int count, int H, int j, float *scales, char *packed) {
  const size_t four = vectors * sizeof(vec), total = (count + 3) / 4 * four;
  __builtin_memset(packed, 0, total);
  for (int v = 0; v < vectors; v++) {
    const int row = chain_row(pass, first + v, H, j), lanes = chain_lanes(pass, first + v, H, j);
    for (int lane = 0; lane < VECTOR_WIDTH; lane++) {
      const int place = v * VECTOR_WIDTH + lane;
      scales[place] = 0.0f;
      if (lane < lanes) {
        const float *from = weights + (size_t)(row + lane) * count;
        const Scale scale = scale_of(from, count);
        scales[place] = scale.scale;
        for (int k = 0; k < count; k += BLOCK) {
          int8_t block[BLOCK];
          const int width = smaller(count - k, BLOCK);
          quantize(from + k, width, scale.inverse, block);
          for (int i = 0; i < width; i++) {
            packed[(k + i) / 4 * four + place * 4 + i % 4] = (char)(is_flipped(i) ? block[i] + 128 : block[i]);
          }
        }
      }
    }
  }
  return packed + total;
}

/* A panel: biases [chains], scales [inputs] and [hidden], then fours of inputs, then fours of hidden units, each [chains that take
 * them]; units beyond H are zeros. */
static void pack_panel(const Pass *pass, const Weights *w, int j, char *panel) {
  const int H = w->hidden_size, I = w->input_size, inputs = pass->inputs, hidden = pass->hidden;
  float *const head = (float *)panel, *const scales = head + pass->chains * VECTOR_WIDTH;
  pack_panel_biases(pass, w, j, head);
  panel += (pass->chains + inputs + hidden) * sizeof(vec);
  panel = pack_fours(pass, 0, inputs, w->weight_ih, I, H, j, scales, panel);
  pack_fours(pass, pass->chains - hidden, hidden, w->weight_hh, H, H, j, scales + inputs * VECTOR_WIDTH, panel);
}

/* ---- Steps ---- */

/* One row's inputs or hidden units: values[0 .. rounded_up(count)). */
typedef struct {
  float scale;
  uint32_t start; /* of the sums of their products */
  int8_t values[];
} Activations;

static size_t activation_bytes(int count) { return sizeof(Activations) + rounded_up(count); }

static void activate(const float *from, int count, Activations *a) {
  const Scale scale = scale_of(from, count);
  a->scale = scale.scale;
  a->start = 0;
  quantize(from, count, scale.inverse, a->values);
  for (int k = 0; k < count; k++) {
    if (is_flipped(k)) a->start -= 128u * (uint32_t)a->values[k];
  }
}

/* Scratch of a row: the inputs' activations, then those of the hidden units. */
static size_t row_bytes(int I, int H) { return (activation_bytes(I) + activation_bytes(H) + 63) & ~(size_t)63; }

static void begin(const Pass *pass, const Sequence *s, const Row *row, char *scratch) {
  const float *hidden = pass->from_gates ? row->gates + 3 * s->hidden_size : row->h;
  activate(row->x, s->input_size, (Activations *)scratch);
  activate(hidden, s->hidden_size, (Activations *)(scratch + activation_bytes(s->input_size)));
}

/* sum[(i * panels + p) * vectors + v] += a[i]->values[k] * w[p][k][v] for all k, four at a time. Returns w after the last four. */
INLINE const char *accumulate_fours(const int rows, const int panels, size_t panel, const int vectors, int count,
                                    const Activations *const *a, const char *w, ints *sum) {
  for (int k = 0; k < count; k += 4, w += vectors * sizeof(vec)) {
    Four factor[SMALL_TILE];
    UNROLL for (int i = 0; i < rows; i++) {
      int32_t word;
      __builtin_memcpy(&word, a[i]->values + k, sizeof word);
      factor[i] = four_of(word);
    }
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < vectors; v++) {
        const ints weight = (ints)load((const float *)(w + p * panel + v * sizeof(vec)));
        UNROLL for (int i = 0; i < rows; i++) {
          ints *const chain = sum + (i * panels + p) * vectors + v;
          *chain = add_products(factor[i], weight, *chain);
        }
      }
    }
  }
  return w;
}

/* One share of the pre-activations: the integers of `vectors` chains, times their scales, added to `sum`, of which a panel has `stride`.
 * `scales` lie in the panel's head. Returns w after the share. */
INLINE const char *add_share(const int rows, const int panels, size_t panel, const int vectors, const int stride, int count,
                             const Activations *const *a, const char *scales, const char *w, vec *sum) {
  ints total[SMALL_TILE * 4];
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < vectors; v++) total[(i * panels + p) * vectors + v] = (ints)((bits){0} + a[i]->start);
    }
  }
  w = accumulate_fours(rows, panels, panel, vectors, count, a, w, total);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < vectors; v++) {
        vec *const chain = sum + (i * panels + p) * stride + v;
        const vec both = load((const float *)(scales + p * panel) + v * VECTOR_WIDTH) * a[i]->scale;
        *chain = multiply_add(__builtin_convertvector(total[(i * panels + p) * vectors + v], vec), both, *chain);
      }
    }
  }
  return w;
}

INLINE void tile(const int rows, const int panels, const int chains, const int inputs, const int hidden, const Pass *pass, const Sequence *s,
                 const Row *row, const char *scratch, const char *w, int j) {
  const int I = s->input_size, H = s->hidden_size;
  const size_t panel = panel_bytes(pass, I, H), bytes_of_row = row_bytes(I, H);
  vec sum[SMALL_TILE * 4];
  const Activations *x[SMALL_TILE], *h[SMALL_TILE];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = (const Activations *)(scratch + i * bytes_of_row);
    h[i] = (const Activations *)(scratch + i * bytes_of_row + activation_bytes(I));
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < chains; v++) sum[(i * panels + p) * chains + v] = load((const float *)(w + p * panel) + v * VECTOR_WIDTH);
    }
  }
  const char *const scales = w + chains * sizeof(vec);
  w = add_share(rows, panels, panel, inputs, chains, I, x, scales, scales + (inputs + hidden) * sizeof(vec), sum);
  add_share(rows, panels, panel, hidden, chains, H, h, scales + inputs * sizeof(vec), w, sum + chains - hidden);
  finish_rows(rows, panels, chains, pass, row, sum, H, j);
}

DEFINE_TILES

const SmallWeights INT8 = {
    .panel_bytes = panel_bytes,
    .pack_panel = pack_panel,
    .row_bytes = row_bytes,
    .begin = begin,
    .quad = TILES_OF(quad),
    .gru = TILES_OF(gru),
    .pair = TILES_OF(pair),
};
