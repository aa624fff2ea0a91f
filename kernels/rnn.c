/* Elman's network: packing, forward steps, backward.
 *
 *     h' = act(W_ih x + W_hh h + b_ih + b_hh),   act = tanh or relu
 *
 * Elman 1990, Finding Structure in Time, Cognitive Science 14(2).
 *
 * Law: every pre-activation is one chain: b_ih + b_hh, then the inputs in order, then the hidden units in order.
 */
#include "recurrent.h"

enum { VECTORS = 2, PANEL = VECTORS * VECTOR_WIDTH, TILE_ROWS = 4 }; /* 4 rows x 2 vectors = 8 accumulators */

static int panels(int hidden_size) { return (hidden_size + PANEL - 1) / PANEL; }
static size_t panel_floats(const Sequence *s) { return (size_t)PANEL * (1 + s->input_size + s->hidden_size); }

EXPORT(rnn_packed_bytes) int rnn_packed_bytes(int input_size, int hidden_size) {
  return panels(hidden_size) * PANEL * (1 + input_size + hidden_size) * (int)sizeof(float);
}

/* Panels of 2 * VECTOR_WIDTH hidden units: bias, then [I], then [H], each two vectors; units beyond H are zeros. */
EXPORT(rnn_pack)
void rnn_pack(int input_size, int hidden_size, const float *weight_ih, const float *weight_hh, const float *bias_ih, const float *bias_hh,
              float *packed) {
  for (int j = 0; j < hidden_size; j += PANEL) {
    int first[VECTORS], lanes[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
      first[v] = j + v * VECTOR_WIDTH;
      lanes[v] = smaller(hidden_size - first[v], VECTOR_WIDTH);
    }
    packed = pack_biases(bias_ih, bias_hh, VECTORS, first, lanes, packed);
    packed = pack_weights(weight_ih, input_size, VECTORS, first, lanes, packed);
    packed = pack_weights(weight_hh, hidden_size, VECTORS, first, lanes, packed);
  }
}

/* max(v, 0) that lets NaN through. */
INLINE vec rectify(vec v) { return (vec)((bits)v & ~less(v, splat(0.0f))); }

INLINE void step_tile(const int rows, const Sequence *s, int relu, const Row *row, const float *w, int j) {
  vec sum[TILE_ROWS * VECTORS];
  const float *x[TILE_ROWS], *h[TILE_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
    UNROLL for (int v = 0; v < VECTORS; v++) sum[i * VECTORS + v] = load(w + v * VECTOR_WIDTH);
  }
  w = accumulate(rows, VECTORS, VECTORS, s->input_size, x, w + PANEL, sum);
  accumulate(rows, VECTORS, VECTORS, s->hidden_size, h, w, sum);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int v = 0; v < VECTORS; v++) {
      const int lanes = s->hidden_size - j - v * VECTOR_WIDTH;
      const vec sum_v = sum[i * VECTORS + v];
      if (lanes > 0) store_lanes(row[i].output + j + v * VECTOR_WIDTH, flush(relu ? rectify(sum_v) : vector_tanh(sum_v)), lanes);
    }
  }
}

#define STEP_TILE(ROWS)                                                                                              \
  static NOINLINE void step_tile_##ROWS(const Sequence *s, int relu, const Row *row, const float *w, int j) {       \
    step_tile(ROWS, s, relu, row, w, j);                                                                             \
  }
STEP_TILE(1) STEP_TILE(2) STEP_TILE(3) STEP_TILE(4)

static void step(const Forward *f, int relu, const Row *rows, int count) {
  const float *w = f->packed;
  for (int j = 0; j < f->s.hidden_size; j += PANEL, w += panel_floats(&f->s)) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, TILE_ROWS);
      switch (m) {
        case 1: step_tile_1(&f->s, relu, rows + i, w, j); break;
        case 2: step_tile_2(&f->s, relu, rows + i, w, j); break;
        case 3: step_tile_3(&f->s, relu, rows + i, w, j); break;
        default: step_tile_4(&f->s, relu, rows + i, w, j);
      }
    }
  }
}

/* The bytes of scratch for one `rnn_forward`. */
EXPORT(rnn_forward_scratch) int rnn_forward_scratch(const Forward *f) {
  Scratch count = {NULL};
  forward_scratch(&f->s, 0, &count);
  return (int)(size_t)count.next;
}

EXPORT(rnn_forward) void rnn_forward(const Forward *f, int relu) {
  Scratch memory = {f->scratch};
  ForwardScratch scratch = forward_scratch(&f->s, 0, &memory);
  begin_forward(f, &scratch);
  int active = f->s.batch;
  for (int t = 0; (active = rows_at(&f->s, t, scratch.order, active, NULL, scratch.rows)) > 0; t++) {
    step(f, relu, scratch.rows, active);
  }
  finish_forward(f);
}

/* The bytes of scratch for one `rnn_backward`. */
EXPORT(rnn_backward_scratch) int rnn_backward_scratch(const Backward *b) {
  Scratch count = {NULL};
  backward_scratch(&b->s, 1, &count);
  return (int)(size_t)count.next;
}

/* Gradient by the pre-activation of one row and step, from h after it: 1 - h^2 for tanh; for relu 1 where h > 0, else 0. */
static void differentiate(int H, int relu, const Row *row, const float *d_output, const float *d_h, float *d_gates) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int lanes = H - j;
    const vec h = load_lanes(row->output + j, lanes);
    vec dh = load_lanes(d_h + j, lanes);
    if (d_output) dh += load_lanes(d_output + j, lanes);
    dh = flush(dh);
    store_lanes(d_gates + j, relu ? (vec)((bits)dh & less(splat(0.0f), h)) : flush(dh * (1.0f - h * h)), lanes);
  }
}

EXPORT(rnn_backward) void rnn_backward(const Backward *b, int relu) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  Scratch memory = {b->scratch};
  BackwardScratch scratch = backward_scratch(s, 1, &memory);
  const int longest = begin_backward(b, 1, &scratch);
  pack_matrix(H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, scratch.weights);
  int active = 0;
  for (int t = longest - 1; t >= 0; t--) {
    active = rows_at(s, t, scratch.order, active, NULL, scratch.rows);
    for (int i = 0; i < active; i++) {
      const Row *row = scratch.rows + i;
      const size_t at = (size_t)row->batch * s->time + row->time;
      float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + at * H;
      differentiate(H, relu, row, b->d_output ? b->d_output + at * s->output_stride : NULL, d_h, d_gates);
      scratch.from[i] = d_gates;
      scratch.to[i] = d_h;
    }
    multiply_rows(active, scratch.from, H, scratch.weights, H, scratch.to, 0);
  }
  add_input_gradients(b, 1, &scratch);
  add_hidden_gradients(b, 0, H, 0, scratch.h, 0, &scratch);
}
