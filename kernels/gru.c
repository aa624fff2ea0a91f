/* Gated recurrent unit: packing, forward steps, backward, with the reset gate after or before the candidate's product.
 *
 *     r = sigmoid(W_ir x + W_hr h + b_r)    z = sigmoid(W_iz x + W_hz h + b_z)
 *     reset after:   q = W_hn h + b_hn      n = tanh(W_in x + b_in + r q)
 *     reset before:  q = r h                n = tanh(W_in x + b_in + b_hn + W_hn q)
 *     h' = (1 - z) n + z h
 *
 * Cho et al. 2014, EMNLP (reset before); Chung et al. 2014, arXiv:1412.3555, and cuDNN (reset after).
 *
 * With the reset after, n and q are chains of their own: b_in and the inputs, b_hn and the hidden units.
 */
#include "recurrent.h"

enum { GATES = 3, SAVED = 4 };

/* ---- Reset after: one pass. Accumulators n r z q, so that the inputs feed the first three and the hidden units the last three. ---- */

static size_t after_panel(int I, int H) { return (size_t)VECTOR_WIDTH * (4 + 3 * (I + H)); }
static size_t after_floats(int I, int H) { return (H + VECTOR_WIDTH - 1) / VECTOR_WIDTH * after_panel(I, H); }

/* Panels of VECTOR_WIDTH hidden units: bias [n r z q], then [I][n r z], then [H][r z q]. */
static void pack_after(const Weights *weights, float *packed) {
  const int H = weights->hidden_size;
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int r = j, z = H + j, n = 2 * H + j, count = smaller(H - j, VECTOR_WIDTH);
    const int lanes[3] = {count, count, count}, input[3] = {n, r, z}, hidden[3] = {r, z, n};
    packed = pack_biases(weights->bias_ih, NULL, 1, &input[0], lanes, packed);
    packed = pack_biases(weights->bias_ih, weights->bias_hh, 2, &input[1], lanes, packed);
    packed = pack_biases(weights->bias_hh, NULL, 1, &hidden[2], lanes, packed);
    packed = pack_weights(weights->weight_ih, weights->input_size, 3, input, lanes, packed);
    packed = pack_weights(weights->weight_hh, H, 3, hidden, lanes, packed);
  }
}

INLINE void finish_after(const Row *row, const vec *sum, int H, int j, int lanes) {
  const vec r = vector_sigmoid(sum[1]), z = vector_sigmoid(sum[2]), q = sum[3];
  const vec n = vector_tanh(multiply_add(r, q, sum[0]));
  store_lanes(row->output + j, flush(multiply_add(z, load_lanes(row->h + j, lanes) - n, n)), lanes);
  if (row->gates) {
    float *const gates = row->gates + j;
    store_lanes(gates, r, lanes);
    store_lanes(gates + H, z, lanes);
    store_lanes(gates + 2 * H, n, lanes);
    store_lanes(gates + 3 * H, flush(q), lanes);
  }
}

INLINE void finish_after_panel(const Row *row, const vec *sum, int H, int j) { FOR_LANES(H - j, finish_after(row, sum, H, j, lanes)); }

INLINE void after_tile(const int rows, const int panels, const Sequence *s, const Row *row, const float *w, int j) {
  const int H = s->hidden_size;
  const size_t panel = after_panel(s->input_size, H);
  vec sum[QUAD_ROWS * 4 > SOLO_PANELS * 4 ? QUAD_ROWS * 4 : SOLO_PANELS * 4];
  const float *x[QUAD_ROWS], *h[QUAD_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < 4; v++) sum[(i * panels + p) * 4 + v] = load(w + p * panel + v * VECTOR_WIDTH);
    }
  }
  if (row->projected) {
    UNROLL for (int i = 0; i < rows; i++) {
      UNROLL for (int p = 0; p < panels; p++) {
        const int at = j + p * VECTOR_WIDTH, lanes = H - at;
        vec *const chain = sum + (i * panels + p) * 4;
        chain[0] = load_lanes(row[i].projected + 2 * H + at, lanes);
        chain[1] = load_lanes(row[i].projected + at, lanes);
        chain[2] = load_lanes(row[i].projected + H + at, lanes);
      }
    }
    w += VECTOR_WIDTH * (4 + 3 * s->input_size);
  } else {
    w = accumulate(rows, panels, panel, 3, 4, s->input_size, x, w + 4 * VECTOR_WIDTH, sum);
  }
  accumulate(rows, panels, panel, 3, 4, H, h, w, sum + 1);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) finish_after_panel(row + i, sum + (i * panels + p) * 4, H, j + p * VECTOR_WIDTH);
  }
}

typedef void Tile(const Sequence *s, const Row *row, const float *w, int j);
#define AFTER_TILE(ROWS)                                                                                                                \
  static NOINLINE void after_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { after_tile(ROWS, 1, s, row, w, j); }
#define AFTER_NAME(ROWS) after_tile_##ROWS
EACH_QUAD(AFTER_TILE)
static Tile *const AFTER_TILE_OF[] = QUAD_TABLE(AFTER_NAME);
static NOINLINE void after_solo_tile(const Sequence *s, const Row *row, const float *w, int j) { after_tile(1, SOLO_PANELS, s, row, w, j); }

static void step_after(const Forward *f, const Row *rows, int count, int from, int to) {
  const Sequence *s = &f->s;
  const size_t panel = after_panel(s->input_size, s->hidden_size);
  const float *w = f->packed + from * panel;
  if (count == 1) {
    for (; from + SOLO_PANELS <= to; from += SOLO_PANELS, w += SOLO_PANELS * panel) after_solo_tile(s, rows, w, from * VECTOR_WIDTH);
  }
  for (; from < to; from++, w += panel) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, QUAD_ROWS);
      AFTER_TILE_OF[m - 1](s, rows + i, w, from * VECTOR_WIDTH);
    }
  }
}

/* ---- Reset before: two passes, because every q needs every r. Both take two vectors a row. ---- */

static size_t before_panel(int I, int H) { return (size_t)2 * VECTOR_WIDTH * (1 + I + H); }
static size_t before_floats(int I, int H) {
  const int panels = (H + VECTOR_WIDTH - 1) / VECTOR_WIDTH, pairs = (H + 2 * VECTOR_WIDTH - 1) / (2 * VECTOR_WIDTH);
  return (panels + pairs) * before_panel(I, H);
}

/* First all panels of the gates: VECTOR_WIDTH hidden units, bias [r z], [I][r z], [H][r z]. Then all panels of the candidate:
 * 2 * VECTOR_WIDTH hidden units, bias, [I], [H]. */
static void pack_before(const Weights *weights, float *packed) {
  const int I = weights->input_size, H = weights->hidden_size;
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int count = smaller(H - j, VECTOR_WIDTH), first[2] = {j, H + j}, lanes[2] = {count, count};
    packed = pack_biases(weights->bias_ih, weights->bias_hh, 2, first, lanes, packed);
    packed = pack_weights(weights->weight_ih, I, 2, first, lanes, packed);
    packed = pack_weights(weights->weight_hh, H, 2, first, lanes, packed);
  }
  for (int j = 0; j < H; j += 2 * VECTOR_WIDTH) {
    const int first[2] = {2 * H + j, 2 * H + j + VECTOR_WIDTH};
    const int lanes[2] = {smaller(H - j, VECTOR_WIDTH), smaller(H - j - VECTOR_WIDTH, VECTOR_WIDTH)};
    packed = pack_biases(weights->bias_ih, weights->bias_hh, 2, first, lanes, packed);
    packed = pack_weights(weights->weight_ih, I, 2, first, lanes, packed);
    packed = pack_weights(weights->weight_hh, H, 2, first, lanes, packed);
  }
}

/* The two chains of each row: bias and x, or what was projected at projected[first[v]], then the hidden values: h itself (candidate = 0) or
 * q = gates[3H..] (candidate = 1). */
INLINE void before_sums(const int rows, const Sequence *s, const Row *row, int candidate, const float *w, const int *first, const int *lanes,
                        vec *sum) {
  const float *x[PAIR_ROWS], *hidden[PAIR_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    hidden[i] = candidate ? row[i].gates + 3 * s->hidden_size : row[i].h;
  }
  if (row->projected) {
    UNROLL for (int i = 0; i < rows; i++) {
      UNROLL for (int v = 0; v < 2; v++) sum[i * 2 + v] = lanes[v] > 0 ? load_lanes(row[i].projected + first[v], lanes[v]) : splat(0.0f);
    }
    w += 2 * VECTOR_WIDTH * (1 + s->input_size);
  } else {
    UNROLL for (int i = 0; i < rows; i++) {
      UNROLL for (int v = 0; v < 2; v++) sum[i * 2 + v] = load(w + v * VECTOR_WIDTH);
    }
    w = accumulate(rows, 1, 0, 2, 2, s->input_size, x, w + 2 * VECTOR_WIDTH, sum);
  }
  accumulate(rows, 1, 0, 2, 2, s->hidden_size, hidden, w, sum);
}

/* r, z and q = r h of one row, hidden units j .. j+VECTOR_WIDTH. */
INLINE void finish_gates(const Row *row, const vec *sum, int H, int j) {
  const int lanes = H - j;
  const vec r = vector_sigmoid(sum[0]), z = vector_sigmoid(sum[1]);
  float *const gates = row->gates + j;
  store_lanes(gates, r, lanes);
  store_lanes(gates + H, z, lanes);
  store_lanes(gates + 3 * H, flush(r * load_lanes(row->h + j, lanes)), lanes);
}

/* n and h' of one row, hidden units j .. j+2*VECTOR_WIDTH. */
INLINE void finish_candidate(const Row *row, const vec *sum, int H, int j) {
  UNROLL for (int v = 0; v < 2; v++) {
    const int at = j + v * VECTOR_WIDTH, lanes = H - at;
    if (lanes > 0) {
      const vec n = vector_tanh(sum[v]), z = load_lanes(row->gates + H + at, lanes);
      store_lanes(row->gates + 2 * H + at, n, lanes);
      store_lanes(row->output + at, flush(multiply_add(z, load_lanes(row->h + at, lanes) - n, n)), lanes);
    }
  }
}

INLINE void gates_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[PAIR_ROWS * 2];
  const int H = s->hidden_size, count = H - j, first[2] = {j, H + j}, lanes[2] = {count, count};
  before_sums(rows, s, row, 0, w, first, lanes, sum);
  UNROLL for (int i = 0; i < rows; i++) finish_gates(row + i, sum + i * 2, H, j);
}

INLINE void candidate_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[PAIR_ROWS * 2];
  const int H = s->hidden_size, first[2] = {2 * H + j, 2 * H + j + VECTOR_WIDTH}, left[2] = {H - j, H - j - VECTOR_WIDTH};
  before_sums(rows, s, row, 1, w, first, left, sum);
  UNROLL for (int i = 0; i < rows; i++) finish_candidate(row + i, sum + i * 2, H, j);
}

#define BEFORE_TILE(ROWS)                                                                                                                \
  static NOINLINE void gates_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { gates_tile(ROWS, s, row, w, j); }  \
  static NOINLINE void candidate_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) {                                \
    candidate_tile(ROWS, s, row, w, j);                                                                                                  \
  }
#define GATES_NAME(ROWS) gates_tile_##ROWS
#define CANDIDATE_NAME(ROWS) candidate_tile_##ROWS
EACH_PAIR(BEFORE_TILE)
static Tile *const GATES_TILE_OF[] = PAIR_TABLE(GATES_NAME), *const CANDIDATE_TILE_OF[] = PAIR_TABLE(CANDIDATE_NAME);

/* All panels at once: `from` and `to` are the whole. */
static void step_before(const Forward *f, const Row *rows, int count, int from, int to) {
  (void)from, (void)to;
  const Sequence *s = &f->s;
  const size_t panel = before_panel(s->input_size, s->hidden_size);
  const float *w = f->packed;
  for (int pass = 0; pass < 2; pass++) {
    for (int j = 0; j < s->hidden_size; j += (1 + pass) * VECTOR_WIDTH, w += panel) {
      for (int i = 0, m; i < count; i += m) {
        m = next_rows(count - i, PAIR_ROWS);
        (pass == 0 ? GATES_TILE_OF : CANDIDATE_TILE_OF)[m - 1](s, rows + i, w, j);
      }
    }
  }
}

/* ---- Backward, both ---- */

static void begin_backward(const Backward *b, BackwardScratch *k) {
  const int H = b->s.hidden_size;
  pack_matrix(2 * H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, k->weights);
  pack_matrix(H, H, (Operand){.base = b->weight_hh + (size_t)2 * H * H, .step = H, .stride = 1}, k->weights_n);
}

/* Gradients by the pre-activations r z n, and fourth by q (after) or q itself (before, where r is still to come); d_h becomes its direct
 * share d z. */
INLINE void differentiate_units(int H, const int reset_before, const Row *row, const float *d_output, float *d_h, float *d_gates, int j,
                                int lanes) {
  const float *gates = row->gates;
  const vec r = load_lanes(gates + j, lanes), z = load_lanes(gates + H + j, lanes);
  const vec n = load_lanes(gates + 2 * H + j, lanes), q = load_lanes(gates + 3 * H + j, lanes);
  vec dh = load_lanes(d_h + j, lanes);
  if (d_output) dh += load_lanes(d_output + j, lanes);
  dh = flush(dh);
  const vec dn = flush(dh * (1.0f - z) * (1.0f - n * n));
  const vec dz = flush(dh * (load_lanes(row->h + j, lanes) - n) * z * (1.0f - z));
  store_lanes(d_gates + j, reset_before ? r : flush(dn * q * r * (1.0f - r)), lanes);
  store_lanes(d_gates + H + j, dz, lanes);
  store_lanes(d_gates + 2 * H + j, dn, lanes);
  store_lanes(d_gates + 3 * H + j, reset_before ? q : flush(dn * r), lanes);
  store_lanes(d_h + j, flush(dh * z), lanes);
}

INLINE void differentiate(int H, const int reset_before, const Row *row, const float *d_output, float *d_h, float *d_gates) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) FOR_LANES(H - j, differentiate_units(H, reset_before, row, d_output, d_h, d_gates, j, lanes));
}

/* Reset before, once d_q = W_hn' dn is known: the gradient by the reset gate's pre-activation, whose place still holds r. */
static void differentiate_reset(int H, const Row *row, const float *d_q, float *d_h, float *d_gates) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int lanes = H - j;
    const vec r = load_lanes(d_gates + j, lanes), dq = flush(load_lanes(d_q + j, lanes));
    store_lanes(d_gates + j, flush(dq * load_lanes(row->h + j, lanes) * r * (1.0f - r)), lanes);
    store_lanes(d_h + j, multiply_add(dq, r, load_lanes(d_h + j, lanes)), lanes);
  }
}

INLINE void step_backward(const int reset_before, const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  const float **from = k->from + first;
  float **to = k->to + first;
  float *d_q = k->d_q + (size_t)first * H;
  for (int i = 0; i < count; i++) {
    const Row *row = rows + i;
    const size_t at = (size_t)row->batch * s->time + row->time;
    float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + at * SAVED * H;
    differentiate(H, reset_before, row, b->d_output ? b->d_output + at * s->output_stride : NULL, d_h, d_gates);
    from[i] = d_gates + (reset_before ? 2 : 3) * H;
    to[i] = reset_before ? d_q + (size_t)i * H : d_h;
  }
  multiply_rows(count, from, H, k->weights_n, H, to, !reset_before);
  for (int i = 0; i < count; i++) {
    const Row *row = rows + i;
    float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + ((size_t)row->batch * s->time + row->time) * SAVED * H;
    if (reset_before) differentiate_reset(H, row, d_q + (size_t)i * H, d_h, d_gates);
    from[i] = d_gates;
    to[i] = d_h;
  }
  multiply_rows(count, from, 2 * H, k->weights, H, to, 1);
}

static void step_backward_after(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  step_backward(0, b, rows, count, first, k);
}

static void step_backward_before(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  step_backward(1, b, rows, count, first, k);
}

static void hidden_gradients_after(const Backward *b, int index, int count, BackwardScratch *k) {
  const int H = b->s.hidden_size;
  add_hidden_gradients(b, 0, 2 * H, 0, k->h, 0, index, count, k);
  add_hidden_gradients(b, 2 * H, H, 3 * H, k->h, 0, index, count, k);
}

static void hidden_gradients_before(const Backward *b, int index, int count, BackwardScratch *k) {
  const int H = b->s.hidden_size;
  add_hidden_gradients(b, 0, 2 * H, 0, k->h, 0, index, count, k);
  add_hidden_gradients(b, 2 * H, H, 2 * H, k->gradient, 3 * H, index, count, k);
}

static const Pass AFTER = {.chains = 4, .inputs = 3, .hidden = 3, .units = VECTOR_WIDTH, .gate = {2, 0, 1, 2}, .finish = finish_after_panel};

static const Pass BEFORE[] = {
    {.chains = 2, .inputs = 2, .hidden = 2, .units = VECTOR_WIDTH, .gate = {0, 1}, .finish = finish_gates},
    {.chains = 2,
     .inputs = 2,
     .hidden = 2,
     .units = 2 * VECTOR_WIDTH,
     .gate = {2, 2},
     .unit = {0, VECTOR_WIDTH},
     .from_gates = 1,
     .finish = finish_candidate},
};

const Cell GRU = {
    .gates = GATES,
    .saved = SAVED,
    .panel_units = VECTOR_WIDTH,
    .panels_apart = 1,
    .chains = 2,
    .panel_floats = after_floats,
    .pack = pack_after,
    .step = step_after,
    .begin_backward = begin_backward,
    .step_backward = step_backward_after,
    .hidden_gradients = hidden_gradients_after,
    .passes = &AFTER,
    .pass_count = 1,
};

const Cell GRU_RESET_BEFORE = {
    .gates = GATES,
    .saved = SAVED,
    .panel_units = VECTOR_WIDTH,
    .panels_apart = 0,
    .chains = GATES,
    .panel_floats = before_floats,
    .pack = pack_before,
    .step = step_before,
    .begin_backward = begin_backward,
    .step_backward = step_backward_before,
    .hidden_gradients = hidden_gradients_before,
    .passes = BEFORE,
    .pass_count = 2,
};
