/* Long short-term memory: packing, forward steps, backward.
 *
 *     i = sigmoid(W_ii x + W_hi h + b_i)    f = sigmoid(W_if x + W_hf h + b_f)
 *     g = tanh   (W_ig x + W_hg h + b_g)    o = sigmoid(W_io x + W_ho h + b_o)
 *     c' = f c + i g                        h' = o tanh(c')
 *
 * Hochreiter & Schmidhuber 1997, Neural Computation 9(8); forget gate: Gers, Schmidhuber & Cummins 2000.
 */
#include "recurrent.h"

enum { GATES = 4 };

static size_t one_panel(int I, int H) { return (size_t)GATES * VECTOR_WIDTH * (1 + I + H); }
static size_t panel_floats(int I, int H) { return (H + VECTOR_WIDTH - 1) / VECTOR_WIDTH * one_panel(I, H); }

/* Panels of VECTOR_WIDTH hidden units: bias [4 gates], then [I][4 gates], then [H][4 gates], each a vector; units beyond H are zeros. */
static void pack(const Weights *w, float *packed) {
  const int H = w->hidden_size;
  for (int j = 0; j < H; j += VECTOR_WIDTH) {
    int first[GATES], lanes[GATES];
    for (int gate = 0; gate < GATES; gate++) {
      first[gate] = gate * H + j;
      lanes[gate] = smaller(H - j, VECTOR_WIDTH);
    }
    packed = pack_biases(w->bias_ih, w->bias_hh, GATES, first, lanes, packed);
    packed = pack_weights(w->weight_ih, w->input_size, GATES, first, lanes, packed);
    packed = pack_weights(w->weight_hh, H, GATES, first, lanes, packed);
  }
}

/* From the pre-activations of hidden units j .. j+lanes of one row to h and c. */
INLINE void finish(const Row *row, const vec *sum, int H, int j, int lanes) {
  const vec input = vector_sigmoid(sum[0]), forget = vector_sigmoid(sum[1]);
  const vec candidate = vector_tanh(sum[2]), output = vector_sigmoid(sum[3]);
  const vec c = flush(multiply_add(forget, load_lanes(row->c + j, lanes), input * candidate));
  store_lanes(row->cell + j, c, lanes);
  store_lanes(row->output + j, flush(output * vector_tanh(c)), lanes);
  if (row->gates) {
    float *const gates = row->gates + j;
    store_lanes(gates, input, lanes);
    store_lanes(gates + H, forget, lanes);
    store_lanes(gates + 2 * H, candidate, lanes);
    store_lanes(gates + 3 * H, output, lanes);
  }
}

INLINE void finish_panel(const Row *row, const vec *sum, int H, int j) { FOR_LANES(H - j, finish(row, sum, H, j, lanes)); }

/* `rows` rows and `panels` panels from hidden unit j on, from pre-activations to h and c, all in registers. */
INLINE void tile(const int rows, const int panels, const Sequence *s, const Row *row, const float *w, int j) {
  const int H = s->hidden_size;
  const size_t panel = one_panel(s->input_size, H);
  vec sum[QUAD_ROWS * GATES > SOLO_PANELS * GATES ? QUAD_ROWS * GATES : SOLO_PANELS * GATES];
  const float *x[QUAD_ROWS], *h[QUAD_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
  }
  if (row->projected) {
    UNROLL for (int i = 0; i < rows; i++) {
      UNROLL for (int p = 0; p < panels; p++) {
        UNROLL for (int gate = 0; gate < GATES; gate++) {
          const int at = j + p * VECTOR_WIDTH;
          sum[(i * panels + p) * GATES + gate] = load_lanes(row[i].projected + gate * H + at, H - at);
        }
      }
    }
    w += GATES * VECTOR_WIDTH * (1 + s->input_size);
  } else {
    UNROLL for (int i = 0; i < rows; i++) {
      UNROLL for (int p = 0; p < panels; p++) {
        UNROLL for (int gate = 0; gate < GATES; gate++) sum[(i * panels + p) * GATES + gate] = load(w + p * panel + gate * VECTOR_WIDTH);
      }
    }
    w = accumulate(rows, panels, panel, GATES, GATES, s->input_size, x, w + GATES * VECTOR_WIDTH, sum);
  }
  accumulate(rows, panels, panel, GATES, GATES, H, h, w, sum);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) finish_panel(row + i, sum + (i * panels + p) * GATES, H, j + p * VECTOR_WIDTH);
  }
}

typedef void Tile(const Sequence *s, const Row *row, const float *w, int j);
#define TILE(ROWS) static NOINLINE void tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { tile(ROWS, 1, s, row, w, j); }
#define NAME(ROWS) tile_##ROWS
EACH_QUAD(TILE)
static Tile *const TILE_OF[] = QUAD_TABLE(NAME);
static NOINLINE void solo_tile(const Sequence *s, const Row *row, const float *w, int j) { tile(1, SOLO_PANELS, s, row, w, j); }

static void step(const Forward *f, const Row *rows, int count, int from, int to) {
  const Sequence *s = &f->s;
  const size_t panel = one_panel(s->input_size, s->hidden_size);
  const float *w = f->packed + from * panel;
  if (count == 1) {
    for (; from + SOLO_PANELS <= to; from += SOLO_PANELS, w += SOLO_PANELS * panel) solo_tile(s, rows, w, from * VECTOR_WIDTH);
  }
  for (; from < to; from++, w += panel) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, QUAD_ROWS);
      TILE_OF[m - 1](s, rows + i, w, from * VECTOR_WIDTH);
    }
  }
}

static void begin_backward(const Backward *b, BackwardScratch *k) {
  const int H = b->s.hidden_size;
  pack_matrix(GATES * H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, k->weights);
}

/* Gradients by the pre-activations of hidden units j .. j+lanes of one row and step; d_c becomes the gradient by the c before. */
INLINE void differentiate_units(int H, const Row *row, const float *d_output, const float *d_h, float *d_c, float *d_gates, int j, int lanes) {
  const float *gates = row->gates;
  const vec input = load_lanes(gates + j, lanes), forget = load_lanes(gates + H + j, lanes);
  const vec candidate = load_lanes(gates + 2 * H + j, lanes), output = load_lanes(gates + 3 * H + j, lanes);
  const vec tanh_c = vector_tanh(load_lanes(row->cell + j, lanes));
  vec dh = load_lanes(d_h + j, lanes);
  if (d_output) dh += load_lanes(d_output + j, lanes);
  dh = flush(dh);
  const vec dc = flush(load_lanes(d_c + j, lanes) + dh * output * (1.0f - tanh_c * tanh_c));
  const vec d_forget = flush(dc * load_lanes(row->c + j, lanes) * forget * (1.0f - forget));
  store_lanes(d_gates + j, flush(dc * candidate * input * (1.0f - input)), lanes);
  store_lanes(d_gates + H + j, d_forget, lanes);
  store_lanes(d_gates + 2 * H + j, flush(dc * input * (1.0f - candidate * candidate)), lanes);
  store_lanes(d_gates + 3 * H + j, flush(dh * tanh_c * output * (1.0f - output)), lanes);
  store_lanes(d_c + j, flush(dc * forget), lanes);
}

static void differentiate(int H, const Row *row, const float *d_output, const float *d_h, float *d_c, float *d_gates) {
  for (int j = 0; j < H; j += VECTOR_WIDTH) FOR_LANES(H - j, differentiate_units(H, row, d_output, d_h, d_c, d_gates, j, lanes));
}

static void step_backward(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  const float **from = k->from + first;
  float **to = k->to + first;
  for (int i = 0; i < count; i++) {
    const Row *row = rows + i;
    const size_t at = (size_t)row->batch * s->time + row->time, state = (size_t)row->batch * H;
    float *d_gates = b->d_gates + at * GATES * H;
    differentiate(H, row, b->d_output ? b->d_output + at * s->output_stride : NULL, b->d_h0 + state, b->d_c0 + state, d_gates);
    from[i] = d_gates;
    to[i] = b->d_h0 + state;
  }
  multiply_rows(count, from, GATES * H, k->weights, H, to, 0);
}

static void hidden_gradients(const Backward *b, int index, int count, BackwardScratch *k) {
  add_hidden_gradients(b, 0, GATES * b->s.hidden_size, 0, k->h, 0, index, count, k);
}

static const Pass PASS = {.chains = GATES, .inputs = GATES, .hidden = GATES, .units = VECTOR_WIDTH, .gate = {0, 1, 2, 3}, .finish = finish_panel};

const Cell LSTM = {
    .gates = GATES,
    .saved = 4,
    .panel_units = VECTOR_WIDTH,
    .panels_apart = 1,
    .chains = GATES,
    .panel_floats = panel_floats,
    .pack = pack,
    .step = step,
    .begin_backward = begin_backward,
    .step_backward = step_backward,
    .hidden_gradients = hidden_gradients,
    .passes = &PASS,
    .pass_count = 1,
};
