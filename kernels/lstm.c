/* Long short-term memory: packing, forward steps, backward.
 *
 *     i = sigmoid(W_ii x + W_hi h + b_i)    f = sigmoid(W_if x + W_hf h + b_f)
 *     g = tanh   (W_ig x + W_hg h + b_g)    o = sigmoid(W_io x + W_ho h + b_o)
 *     c' = f c + i g                        h' = o tanh(c')
 *
 * Hochreiter & Schmidhuber 1997, Neural Computation 9(8); forget gate: Gers, Schmidhuber & Cummins 2000.
 *
 * Law: every pre-activation is one chain: b_ih + b_hh, then the inputs in order, then the hidden units in order; so a row's bits depend
 * neither on the batch nor on how the sequence is cut into calls.
 */
#include "recurrent.h"

enum { GATES = 4, TILE_ROWS = 2 }; /* 2 rows x 4 gates = 8 accumulators */

static int panels(int hidden_size) { return (hidden_size + VECTOR_WIDTH - 1) / VECTOR_WIDTH; }
static size_t panel_floats(const Sequence *s) { return (size_t)GATES * VECTOR_WIDTH * (1 + s->input_size + s->hidden_size); }

EXPORT(lstm_packed_bytes) int lstm_packed_bytes(int input_size, int hidden_size) {
  return panels(hidden_size) * GATES * VECTOR_WIDTH * (1 + input_size + hidden_size) * (int)sizeof(float);
}

/* Panels of VECTOR_WIDTH hidden units: bias [4 gates], then [I][4 gates], then [H][4 gates], each a vector; units beyond H are zeros. */
EXPORT(lstm_pack)
void lstm_pack(int input_size, int hidden_size, const float *weight_ih, const float *weight_hh, const float *bias_ih, const float *bias_hh,
               float *packed) {
  for (int j = 0; j < hidden_size; j += VECTOR_WIDTH) {
    int first[GATES], lanes[GATES];
    for (int gate = 0; gate < GATES; gate++) {
      first[gate] = gate * hidden_size + j;
      lanes[gate] = smaller(hidden_size - j, VECTOR_WIDTH);
    }
    packed = pack_biases(bias_ih, bias_hh, GATES, first, lanes, packed);
    packed = pack_weights(weight_ih, input_size, GATES, first, lanes, packed);
    packed = pack_weights(weight_hh, hidden_size, GATES, first, lanes, packed);
  }
}

/* Hidden units j .. j+VECTOR_WIDTH of some rows, from pre-activations to h and c, all in registers. */
INLINE void step_tile(const int rows, const Sequence *s, const Row *row, const float *w, int j) {
  vec sum[TILE_ROWS * GATES];
  const float *x[TILE_ROWS], *h[TILE_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
    UNROLL for (int gate = 0; gate < GATES; gate++) sum[i * GATES + gate] = load(w + gate * VECTOR_WIDTH);
  }
  w = accumulate(rows, GATES, GATES, s->input_size, x, w + GATES * VECTOR_WIDTH, sum);
  accumulate(rows, GATES, GATES, s->hidden_size, h, w, sum);
  const int H = s->hidden_size, lanes = H - j;
  UNROLL for (int i = 0; i < rows; i++) {
    const vec input = vector_sigmoid(sum[i * GATES]), forget = vector_sigmoid(sum[i * GATES + 1]);
    const vec candidate = vector_tanh(sum[i * GATES + 2]), output = vector_sigmoid(sum[i * GATES + 3]);
    const vec c = flush(multiply_add(forget, load_lanes(row[i].c + j, lanes), input * candidate));
    store_lanes(row[i].cell + j, c, lanes);
    store_lanes(row[i].output + j, flush(output * vector_tanh(c)), lanes);
    if (row[i].gates) {
      float *const gates = row[i].gates + j;
      store_lanes(gates, input, lanes);
      store_lanes(gates + H, forget, lanes);
      store_lanes(gates + 2 * H, candidate, lanes);
      store_lanes(gates + 3 * H, output, lanes);
    }
  }
}

static NOINLINE void step_tile_1(const Sequence *s, const Row *row, const float *w, int j) { step_tile(1, s, row, w, j); }
static NOINLINE void step_tile_2(const Sequence *s, const Row *row, const float *w, int j) { step_tile(2, s, row, w, j); }

static void step(const Forward *f, const Row *rows, int count) {
  const float *w = f->packed;
  for (int j = 0; j < f->s.hidden_size; j += VECTOR_WIDTH, w += panel_floats(&f->s)) {
    int i = 0;
    for (; i + 2 <= count; i += 2) step_tile_2(&f->s, rows + i, w, j);
    if (i < count) step_tile_1(&f->s, rows + i, w, j);
  }
}

/* The bytes of scratch for one `lstm_forward`. */
EXPORT(lstm_forward_scratch) int lstm_forward_scratch(const Forward *f) {
  Scratch count = {NULL};
  forward_scratch(&f->s, 0, &count);
  return (int)(size_t)count.next;
}

EXPORT(lstm_forward) void lstm_forward(const Forward *f) {
  Scratch memory = {f->scratch};
  ForwardScratch scratch = forward_scratch(&f->s, 0, &memory);
  begin_forward(f, &scratch);
  int active = f->s.batch;
  for (int t = 0; (active = rows_at(&f->s, t, scratch.order, active, f->cN, scratch.rows)) > 0; t++) {
    step(f, scratch.rows, active);
  }
  finish_forward(f);
}

/* The bytes of scratch for one `lstm_backward`. */
EXPORT(lstm_backward_scratch) int lstm_backward_scratch(const Backward *b) {
  Scratch count = {NULL};
  backward_scratch(&b->s, GATES, &count);
  return (int)(size_t)count.next;
}

/* Gradients by the pre-activations of one row and step; dc becomes the gradient by the c before. */
static void differentiate(int H, const Row *row, const float *d_output, const float *d_h, float *d_c, float *d_gates) {
  const float *gates = row->gates;
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    const int lanes = H - j;
    const vec input = load_lanes(gates + j, lanes), forget = load_lanes(gates + H + j, lanes);
    const vec candidate = load_lanes(gates + 2 * H + j, lanes), output = load_lanes(gates + 3 * H + j, lanes);
    const vec tanh_c = vector_tanh(load_lanes(row->cell + j, lanes));
    vec dh = load_lanes(d_h + j, lanes);
    if (d_output) dh += load_lanes(d_output + j, lanes);
    dh = flush(dh);
    const vec dc = flush(load_lanes(d_c + j, lanes) + dh * output * (1.0f - tanh_c * tanh_c));
    store_lanes(d_gates + j, flush(dc * candidate * input * (1.0f - input)), lanes);
    store_lanes(d_gates + H + j, flush(dc * load_lanes(row->c + j, lanes) * forget * (1.0f - forget)), lanes);
    store_lanes(d_gates + 2 * H + j, flush(dc * input * (1.0f - candidate * candidate)), lanes);
    store_lanes(d_gates + 3 * H + j, flush(dh * tanh_c * output * (1.0f - output)), lanes);
    store_lanes(d_c + j, flush(dc * forget), lanes);
  }
}

EXPORT(lstm_backward) void lstm_backward(const Backward *b) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  Scratch memory = {b->scratch};
  BackwardScratch scratch = backward_scratch(s, GATES, &memory);
  const int longest = begin_backward(b, GATES, &scratch);
  pack_matrix(GATES * H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, scratch.weights);
  int active = 0;
  for (int t = longest - 1; t >= 0; t--) {
    active = rows_at(s, t, scratch.order, active, NULL, scratch.rows);
    for (int i = 0; i < active; i++) {
      const Row *row = scratch.rows + i;
      const size_t at = (size_t)row->batch * s->time + row->time, state = (size_t)row->batch * H;
      float *d_gates = b->d_gates + at * GATES * H;
      differentiate(H, row, b->d_output ? b->d_output + at * s->output_stride : NULL, b->d_h0 + state, b->d_c0 + state, d_gates);
      scratch.from[i] = d_gates;
      scratch.to[i] = b->d_h0 + state;
    }
    multiply_rows(active, scratch.from, GATES * H, scratch.weights, H, scratch.to, 0);
  }
  add_input_gradients(b, GATES, &scratch);
  add_hidden_gradients(b, 0, GATES * H, 0, scratch.h, 0, &scratch);
}
