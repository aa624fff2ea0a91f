/* Gated recurrent unit: packing, forward steps, backward, with the reset gate after or before the candidate's product.
 *
 *     r = sigmoid(W_ir x + W_hr h + b_r)    z = sigmoid(W_iz x + W_hz h + b_z)
 *     reset after:   q = W_hn h + b_hn      n = tanh(W_in x + b_in + r q)
 *     reset before:  q = r h                n = tanh(W_in x + b_in + b_hn + W_hn q)
 *     h' = (1 - z) n + z h
 *
 * Cho et al. 2014, EMNLP (reset before); Chung et al. 2014, arXiv:1412.3555, and cuDNN (reset after).
 *
 * Law: every inner product is one chain: bias, then the inputs in order, then the hidden units in order (after: n and q are chains of
 * their own).
 */
#include "recurrent.h"

enum { GATES = 3, SAVED = 4 };

/* ---- Reset after: one pass. Accumulators n r z q, so that the inputs feed the first three and the hidden units the last three. ---- */

enum { AFTER_ROWS = 2 }; /* 2 rows x 4 chains = 8 accumulators */

/* Panels of VECTOR_WIDTH hidden units: bias [n r z q], then [I][n r z], then [H][r z q]. */
static float *pack_after(int I, int H, const float *weight_ih, const float *weight_hh, const float *bias_ih, const float *bias_hh,
                         float *packed) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int r = j, z = H + j, n = 2 * H + j, count = smaller(H - j, VECTOR_WIDTH);
    const int lanes[3] = {count, count, count}, input[3] = {n, r, z}, hidden[3] = {r, z, n};
    packed = pack_biases(bias_ih, NULL, 1, &input[0], lanes, packed);
    packed = pack_biases(bias_ih, bias_hh, 2, &input[1], lanes, packed);
    packed = pack_biases(bias_hh, NULL, 1, &hidden[2], lanes, packed);
    packed = pack_weights(weight_ih, I, 3, input, lanes, packed);
    packed = pack_weights(weight_hh, H, 3, hidden, lanes, packed);
  }
  return packed;
}

INLINE void after_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[AFTER_ROWS * 4];
  const float *x[AFTER_ROWS], *h[AFTER_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
    UNROLL for (int v = 0; v < 4; v++) sum[i * 4 + v] = load(w + v * VECTOR_WIDTH);
  }
  w = accumulate(rows, 3, 4, s->input_size, x, w + 4 * VECTOR_WIDTH, sum);
  accumulate(rows, 3, 4, s->hidden_size, h, w, sum + 1);
  const int H = s->hidden_size, lanes = H - j;
  UNROLL for (int i = 0; i < rows; i++) {
    const vec r = vector_sigmoid(sum[i * 4 + 1]), z = vector_sigmoid(sum[i * 4 + 2]), q = sum[i * 4 + 3];
    const vec n = vector_tanh(multiply_add(r, q, sum[i * 4]));
    store_lanes(row[i].output + j, flush(multiply_add(z, load_lanes(row[i].h + j, lanes) - n, n)), lanes);
    if (row[i].gates) {
      float *const gates = row[i].gates + j;
      store_lanes(gates, r, lanes);
      store_lanes(gates + H, z, lanes);
      store_lanes(gates + 2 * H, n, lanes);
      store_lanes(gates + 3 * H, flush(q), lanes);
    }
  }
}

static NOINLINE void after_tile_1(const Sequence *s, const Row *row, const float *w, int j) { after_tile(1, s, row, w, j); }
static NOINLINE void after_tile_2(const Sequence *s, const Row *row, const float *w, int j) { after_tile(2, s, row, w, j); }

static void step_after(const Forward *f, const Row *rows, int count) {
  const Sequence *s = &f->s;
  const size_t panel = (size_t)VECTOR_WIDTH * (4 + 3 * (s->input_size + s->hidden_size));
  const float *w = f->packed;
  for (int j = 0; j < s->hidden_size; j += VECTOR_WIDTH, w += panel) {
    int i = 0;
    for (; i + 2 <= count; i += 2) after_tile_2(s, rows + i, w, j);
    if (i < count) after_tile_1(s, rows + i, w, j);
  }
}

/* ---- Reset before: two passes, because every q needs every r. Both run 4 rows x 2 vectors. ---- */

enum { BEFORE_ROWS = 4 };

/* First all panels of the gates: VECTOR_WIDTH hidden units, bias [r z], [I][r z], [H][r z]. Then all panels of the candidate:
 * 2 * VECTOR_WIDTH hidden units, bias, [I], [H]. */
static float *pack_before(int I, int H, const float *weight_ih, const float *weight_hh, const float *bias_ih, const float *bias_hh,
                          float *packed) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int count = smaller(H - j, VECTOR_WIDTH), first[2] = {j, H + j}, lanes[2] = {count, count};
    packed = pack_biases(bias_ih, bias_hh, 2, first, lanes, packed);
    packed = pack_weights(weight_ih, I, 2, first, lanes, packed);
    packed = pack_weights(weight_hh, H, 2, first, lanes, packed);
  }
  for (int j = 0; j < H; j += 2 * VECTOR_WIDTH) {
    const int first[2] = {2 * H + j, 2 * H + j + VECTOR_WIDTH};
    const int lanes[2] = {smaller(H - j, VECTOR_WIDTH), smaller(H - j - VECTOR_WIDTH, VECTOR_WIDTH)};
    packed = pack_biases(bias_ih, bias_hh, 2, first, lanes, packed);
    packed = pack_weights(weight_ih, I, 2, first, lanes, packed);
    packed = pack_weights(weight_hh, H, 2, first, lanes, packed);
  }
  return packed;
}

/* The two chains of each row: bias, x, then `hidden` values, which are h itself (candidate = 0) or q = gates[3H..] (candidate = 1). */
INLINE void before_sums(const int rows, const Sequence *s, const Row *row, int candidate, const float *w, vec *sum) {
  const float *x[BEFORE_ROWS], *hidden[BEFORE_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    hidden[i] = candidate ? row[i].gates + 3 * s->hidden_size : row[i].h;
    UNROLL for (int v = 0; v < 2; v++) sum[i * 2 + v] = load(w + v * VECTOR_WIDTH);
  }
  w = accumulate(rows, 2, 2, s->input_size, x, w + 2 * VECTOR_WIDTH, sum);
  accumulate(rows, 2, 2, s->hidden_size, hidden, w, sum);
}

INLINE void gates_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[BEFORE_ROWS * 2];
  before_sums(rows, s, row, 0, w, sum);
  const int H = s->hidden_size, lanes = H - j;
  UNROLL for (int i = 0; i < rows; i++) {
    const vec r = vector_sigmoid(sum[i * 2]), z = vector_sigmoid(sum[i * 2 + 1]);
    store_lanes(row[i].gates + j, r, lanes);
    store_lanes(row[i].gates + H + j, z, lanes);
    store_lanes(row[i].gates + 3 * H + j, flush(r * load_lanes(row[i].h + j, lanes)), lanes);
  }
}

INLINE void candidate_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[BEFORE_ROWS * 2];
  before_sums(rows, s, row, 1, w, sum);
  const int H = s->hidden_size;
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int v = 0; v < 2; v++) {
      const int at = j + v * VECTOR_WIDTH, lanes = H - at;
      if (lanes > 0) {
        const vec n = vector_tanh(sum[i * 2 + v]), z = load_lanes(row[i].gates + H + at, lanes);
        store_lanes(row[i].gates + 2 * H + at, n, lanes);
        store_lanes(row[i].output + at, flush(multiply_add(z, load_lanes(row[i].h + at, lanes) - n, n)), lanes);
      }
    }
  }
}

#define BEFORE_TILE(ROWS)                                                                                                                \
  static NOINLINE void gates_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { gates_tile(ROWS, s, row, w, j); }  \
  static NOINLINE void candidate_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) {                                \
    candidate_tile(ROWS, s, row, w, j);                                                                                                  \
  }
BEFORE_TILE(1) BEFORE_TILE(2) BEFORE_TILE(3) BEFORE_TILE(4)

static void step_before(const Forward *f, const Row *rows, int count) {
  const Sequence *s = &f->s;
  const size_t panel = (size_t)2 * VECTOR_WIDTH * (1 + s->input_size + s->hidden_size);
  const float *w = f->packed;
  for (int j = 0; j < s->hidden_size; j += VECTOR_WIDTH, w += panel) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, BEFORE_ROWS);
      switch (m) {
        case 1: gates_tile_1(s, rows + i, w, j); break;
        case 2: gates_tile_2(s, rows + i, w, j); break;
        case 3: gates_tile_3(s, rows + i, w, j); break;
        default: gates_tile_4(s, rows + i, w, j);
      }
    }
  }
  for (int j = 0; j < s->hidden_size; j += 2 * VECTOR_WIDTH, w += panel) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, BEFORE_ROWS);
      switch (m) {
        case 1: candidate_tile_1(s, rows + i, w, j); break;
        case 2: candidate_tile_2(s, rows + i, w, j); break;
        case 3: candidate_tile_3(s, rows + i, w, j); break;
        default: candidate_tile_4(s, rows + i, w, j);
      }
    }
  }
}

/* ---- Both ---- */

EXPORT(gru_packed_bytes) int gru_packed_bytes(int input_size, int hidden_size, int reset_before) {
  const int panels = (hidden_size + VECTOR_WIDTH - 1) / VECTOR_WIDTH, pairs = (hidden_size + 2 * VECTOR_WIDTH - 1) / (2 * VECTOR_WIDTH);
  const int sizes = input_size + hidden_size;
  const int vectors = reset_before ? (panels + pairs) * 2 * (1 + sizes) : panels * (4 + 3 * sizes);
  return vectors * VECTOR_WIDTH * (int)sizeof(float);
}

EXPORT(gru_pack)
void gru_pack(int input_size, int hidden_size, const float *weight_ih, const float *weight_hh, const float *bias_ih, const float *bias_hh,
              float *packed, int reset_before) {
  if (reset_before) pack_before(input_size, hidden_size, weight_ih, weight_hh, bias_ih, bias_hh, packed);
  else pack_after(input_size, hidden_size, weight_ih, weight_hh, bias_ih, bias_hh, packed);
}

/* The bytes of scratch for one `gru_forward`. */
EXPORT(gru_forward_scratch) int gru_forward_scratch(const Forward *f, int reset_before) {
  Scratch count = {NULL};
  forward_scratch(&f->s, reset_before && !f->s.gates, &count);
  return (int)(size_t)count.next;
}

EXPORT(gru_forward) void gru_forward(const Forward *f, int reset_before) {
  const Sequence *s = &f->s;
  Scratch memory = {f->scratch};
  ForwardScratch scratch = forward_scratch(s, reset_before && !s->gates, &memory);
  begin_forward(f, &scratch);
  int active = s->batch;
  for (int t = 0; (active = rows_at(s, t, scratch.order, active, NULL, scratch.rows)) > 0; t++) {
    if (scratch.gates) {
      for (int i = 0; i < active; i++) scratch.rows[i].gates = scratch.gates + (size_t)i * SAVED * s->hidden_size;
    }
    if (reset_before) step_before(f, scratch.rows, active);
    else step_after(f, scratch.rows, active);
  }
  finish_forward(f);
}

/* The bytes of scratch for one `gru_backward`. */
EXPORT(gru_backward_scratch) int gru_backward_scratch(const Backward *b) {
  Scratch count = {NULL};
  backward_scratch(&b->s, GATES, &count);
  return (int)(size_t)count.next;
}

/* Gradients by the pre-activations r z n, and fourth by q (after) or q itself (before, where r is still to come); d_h becomes its direct
 * share d z. */
static void differentiate(int H, int reset_before, const Row *row, const float *d_output, float *d_h, float *d_gates) {
  const float *gates = row->gates;
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int lanes = H - j;
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

EXPORT(gru_backward) void gru_backward(const Backward *b, int reset_before) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  Scratch memory = {b->scratch};
  BackwardScratch scratch = backward_scratch(s, GATES, &memory);
  const int longest = begin_backward(b, SAVED, &scratch);
  const float *weight_n = b->weight_hh + (size_t)2 * H * H;
  pack_matrix(2 * H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, scratch.weights);
  pack_matrix(H, H, (Operand){.base = weight_n, .step = H, .stride = 1}, scratch.weights_n);
  int active = 0;
  for (int t = longest - 1; t >= 0; t--) {
    active = rows_at(s, t, scratch.order, active, NULL, scratch.rows);
    for (int i = 0; i < active; i++) {
      const Row *row = scratch.rows + i;
      const size_t at = (size_t)row->batch * s->time + row->time;
      float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + at * SAVED * H;
      differentiate(H, reset_before, row, b->d_output ? b->d_output + at * s->output_stride : NULL, d_h, d_gates);
      scratch.from[i] = d_gates + (reset_before ? 2 : 3) * H;
      scratch.to[i] = reset_before ? scratch.d_q + (size_t)i * H : d_h;
    }
    multiply_rows(active, scratch.from, H, scratch.weights_n, H, scratch.to, !reset_before);
    for (int i = 0; i < active; i++) {
      const Row *row = scratch.rows + i;
      float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + ((size_t)row->batch * s->time + row->time) * SAVED * H;
      if (reset_before) differentiate_reset(H, row, scratch.d_q + (size_t)i * H, d_h, d_gates);
      scratch.from[i] = d_gates;
      scratch.to[i] = d_h;
    }
    multiply_rows(active, scratch.from, 2 * H, scratch.weights, H, scratch.to, 1);
  }
  add_input_gradients(b, GATES, &scratch);
  add_hidden_gradients(b, 0, 2 * H, 0, scratch.h, 0, &scratch);
  if (reset_before) add_hidden_gradients(b, 2 * H, H, 2 * H, scratch.gradient, 3 * H, &scratch);
  else add_hidden_gradients(b, 2 * H, H, 3 * H, scratch.h, 0, &scratch);
}
