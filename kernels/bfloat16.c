/* Recurrent forward passes with bfloat16 weights: the upper half of a float32, 8 bits of significand.
 *
 *     w' = w rounded to 8 significant bits, ties to even        |w' - w| <= 2^-8 |w|
 *
 * A weight becomes a float32 again when it is loaded, by a shift; from there on everything is float32.
 *
 * Law: that of recurrent.h for the rounded weights: every pre-activation is one chain of multiply-adds, bias, inputs in order, hidden units in
 * order. So whole, chunked and single steps agree bit for bit, and so do a batch and its rows.
 *
 * Source of the format: Kalamkar et al. 2019, arXiv:1905.12322.
 */
#include "small-weights.h"

static size_t panel_bytes(const Pass *pass, int I, int H) {
  const size_t pairs = (I + 1) / 2 * pass->inputs + (H + 1) / 2 * pass->hidden;
  return (pass->chains + pairs) * sizeof(vec);
}

/* NaN stays NaN, of which rounding could make an infinity. */
static uint32_t rounded(float weight) {
  uint32_t word;
  __builtin_memcpy(&word, &weight, sizeof word);
  if (weight != weight) return word >> 16 | 0x40;
  return (word + 0x7fff + (word >> 16 & 1)) >> 16;
}

/* Columns of weights [., count] in pairs: a word has column 2m of its row below and column 2m + 1 above. For each pair one vector per chain
 * first .. first + vectors - 1. Returns the end. */
static uint32_t *pack_pairs(const Pass *pass, int first, int vectors, const float *weights, int count, int H, int j, uint32_t *packed) {
  for (int k = 0; k < count; k += 2) {
    for (int v = first; v < first + vectors; v++) {
      const int row = chain_row(pass, v, H, j), lanes = chain_lanes(pass, v, H, j);
      for (int lane = 0; lane < VECTOR_WIDTH; lane++) {
        const float *weight = weights + (size_t)(row + lane) * count + k;
        const uint32_t low = lane < lanes ? rounded(weight[0]) : 0, high = lane < lanes && k + 1 < count ? rounded(weight[1]) : 0;
        *packed++ = low | high << 16;
      }
    }
  }
  return packed;
}

/* A panel: biases [chains], then pairs of inputs, then pairs of hidden units, each [chains that take them]; units beyond H are zeros. */
static void pack_panel(const Pass *pass, const Weights *w, int j, char *panel) {
  const int H = w->hidden_size;
  pack_panel_biases(pass, w, j, (float *)panel);
  uint32_t *packed = (uint32_t *)(panel + pass->chains * sizeof(vec));
  packed = pack_pairs(pass, 0, pass->inputs, w->weight_ih, w->input_size, H, j, packed);
  pack_pairs(pass, pass->chains - pass->hidden, pass->hidden, w->weight_hh, H, H, j, packed);
}

static size_t row_bytes(int I, int H) {
  (void)I, (void)H;
  return 0;
}

/* sum[(i * panels + p) * stride + v] += a[i][k] * w[p][k][v] for k in order, as `accumulate` of recurrent.h. Returns w after the last pair. */
INLINE const char *accumulate_pairs(const int rows, const int panels, size_t panel, const int vectors, const int stride, int count,
                                    const float *const *a, const char *w, vec *sum) {
  int k = 0;
  for (; k + 1 < count; k += 2, w += vectors * sizeof(vec)) {
    vec even[SMALL_TILE], odd[SMALL_TILE];
    UNROLL for (int i = 0; i < rows; i++) {
      even[i] = splat(a[i][k]);
      odd[i] = splat(a[i][k + 1]);
    }
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < vectors; v++) {
        const bits pair = (bits)load((const float *)(w + p * panel + v * sizeof(vec)));
        const vec low = (vec)(pair << 16), high = (vec)(pair & 0xffff0000u);
        vec *const chain = sum + p * stride + v;
        UNROLL for (int i = 0; i < rows; i++) chain[i * panels * stride] = multiply_add(even[i], low, chain[i * panels * stride]);
        UNROLL for (int i = 0; i < rows; i++) chain[i * panels * stride] = multiply_add(odd[i], high, chain[i * panels * stride]);
      }
    }
  }
  if (k == count) return w;
  UNROLL for (int p = 0; p < panels; p++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      const vec low = (vec)((bits)load((const float *)(w + p * panel + v * sizeof(vec))) << 16);
      UNROLL for (int i = 0; i < rows; i++) {
        vec *const chain = sum + (i * panels + p) * stride + v;
        *chain = multiply_add(splat(a[i][k]), low, *chain);
      }
    }
  }
  return w + vectors * sizeof(vec);
}

INLINE void tile(const int rows, const int panels, const int chains, const int inputs, const int hidden, const Pass *pass, const Sequence *s,
                 const Row *row, const char *scratch, const char *w, int j) {
  (void)scratch;
  const int H = s->hidden_size;
  const size_t panel = panel_bytes(pass, s->input_size, H);
  vec sum[SMALL_TILE * 4];
  const float *x[SMALL_TILE], *h[SMALL_TILE];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = pass->from_gates ? row[i].gates + 3 * H : row[i].h;
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < chains; v++) sum[(i * panels + p) * chains + v] = load((const float *)(w + p * panel) + v * VECTOR_WIDTH);
    }
  }
  w = accumulate_pairs(rows, panels, panel, inputs, chains, s->input_size, x, w + chains * sizeof(vec), sum);
  accumulate_pairs(rows, panels, panel, hidden, chains, H, h, w, sum + chains - hidden);
  finish_rows(rows, panels, chains, pass, row, sum, H, j);
}

DEFINE_TILES

const SmallWeights BFLOAT16 = {
    .panel_bytes = panel_bytes,
    .pack_panel = pack_panel,
    .row_bytes = row_bytes,
    .quad = TILES_OF(quad),
    .gru = TILES_OF(gru),
    .pair = TILES_OF(pair),
};
