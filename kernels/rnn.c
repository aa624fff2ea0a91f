/* Elman's network: packing, forward steps, backward.
 *
 *     h' = act(W_ih x + W_hh h + b_ih + b_hh),   act = tanh or relu
 *
 * Elman 1990, Finding Structure in Time, Cognitive Science 14(2).
 */
#include "recurrent.h"

enum { VECTORS = 2, PANEL = VECTORS * VECTOR_WIDTH };

static size_t one_panel(int I, int H) { return (size_t)PANEL * (1 + I + H); }
static size_t panel_floats(int I, int H) { return (H + PANEL - 1) / PANEL * one_panel(I, H); }

/* Panels of 2 * VECTOR_WIDTH hidden units: bias, then [I], then [H], each two vectors; units beyond H are zeros. */
static void pack(const Weights *w, float *packed) {
  for (int j = 0; j < w->hidden_size; j += PANEL) {
    int first[VECTORS], lanes[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
      first[v] = j + v * VECTOR_WIDTH;
      lanes[v] = smaller(w->hidden_size - first[v], VECTOR_WIDTH);
    }
    packed = pack_biases(w->bias_ih, w->bias_hh, VECTORS, first, lanes, packed);
    packed = pack_weights(w->weight_ih, w->input_size, VECTORS, first, lanes, packed);
    packed = pack_weights(w->weight_hh, w->hidden_size, VECTORS, first, lanes, packed);
  }
}

/* max(v, 0) that lets NaN through. */
INLINE vec rectify(vec v) { return (vec)((bits)v & ~less(v, splat(0.0f))); }

/* h of one row, hidden units j .. j+PANEL. */
INLINE void finish(const int relu, const Row *row, const vec *sum, int H, int j) {
  UNROLL for (int v = 0; v < VECTORS; v++) {
    const int at = j + v * VECTOR_WIDTH;
    if (at < H) store_lanes(row->output + at, flush(relu ? rectify(sum[v]) : vector_tanh(sum[v])), H - at);
  }
}

INLINE void tile(const int rows, const int panels, const int relu, const Sequence *s, const Row *row, const float *w, int j) {
  const int H = s->hidden_size;
  const size_t panel = one_panel(s->input_size, H);
  vec sum[PAIR_ROWS * VECTORS > SOLO_PANELS * VECTORS ? PAIR_ROWS * VECTORS : SOLO_PANELS * VECTORS];
  const float *x[PAIR_ROWS], *h[PAIR_ROWS];
  UNROLL for (int i = 0; i < rows; i++) {
    x[i] = row[i].x;
    h[i] = row[i].h;
    UNROLL for (int p = 0; p < panels; p++) {
      UNROLL for (int v = 0; v < VECTORS; v++) {
        const int at = j + p * PANEL + v * VECTOR_WIDTH;
        vec *const chain = sum + (i * panels + p) * VECTORS + v;
        if (!row->projected) *chain = load(w + p * panel + v * VECTOR_WIDTH);
        else *chain = at < H ? load_lanes(row[i].projected + at, H - at) : splat(0.0f);
      }
    }
  }
  if (row->projected) w += PANEL * (1 + s->input_size);
  else w = accumulate(rows, panels, panel, VECTORS, VECTORS, s->input_size, x, w + PANEL, sum);
  accumulate(rows, panels, panel, VECTORS, VECTORS, H, h, w, sum);
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int p = 0; p < panels; p++) finish(relu, row + i, sum + (i * panels + p) * VECTORS, H, j + p * PANEL);
  }
}

typedef void Tile(const Sequence *s, const Row *row, const float *w, int j);
#define TILE(ROWS)                                                                                                                      \
  static NOINLINE void tanh_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { tile(ROWS, 1, 0, s, row, w, j); }   \
  static NOINLINE void relu_tile_##ROWS(const Sequence *s, const Row *row, const float *w, int j) { tile(ROWS, 1, 1, s, row, w, j); }
#define TANH_NAME(ROWS) tanh_tile_##ROWS
#define RELU_NAME(ROWS) relu_tile_##ROWS
EACH_PAIR(TILE)
static NOINLINE void tanh_solo(const Sequence *s, const Row *row, const float *w, int j) { tile(1, SOLO_PANELS, 0, s, row, w, j); }
static NOINLINE void relu_solo(const Sequence *s, const Row *row, const float *w, int j) { tile(1, SOLO_PANELS, 1, s, row, w, j); }
static Tile *const TANH_TILE_OF[] = PAIR_TABLE(TANH_NAME), *const RELU_TILE_OF[] = PAIR_TABLE(RELU_NAME);

INLINE void step(Tile *solo, Tile *const *tile_of, const Forward *f, const Row *rows, int count, int from, int to) {
  const Sequence *s = &f->s;
  const size_t panel = one_panel(s->input_size, s->hidden_size);
  const float *w = f->packed + from * panel;
  if (count == 1) {
    for (; from + SOLO_PANELS <= to; from += SOLO_PANELS, w += SOLO_PANELS * panel) solo(s, rows, w, from * PANEL);
  }
  for (; from < to; from++, w += panel) {
    for (int i = 0, m; i < count; i += m) {
      m = next_rows(count - i, PAIR_ROWS);
      tile_of[m - 1](s, rows + i, w, from * PANEL);
    }
  }
}

static void step_tanh(const Forward *f, const Row *rows, int count, int from, int to) {
  step(tanh_solo, TANH_TILE_OF, f, rows, count, from, to);
}

static void step_relu(const Forward *f, const Row *rows, int count, int from, int to) {
  step(relu_solo, RELU_TILE_OF, f, rows, count, from, to);
}

static void begin_backward(const Backward *b, BackwardScratch *k) {
  const int H = b->s.hidden_size;
  pack_matrix(H, H, (Operand){.base = b->weight_hh, .step = H, .stride = 1}, k->weights);
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

INLINE void step_backward(const int relu, const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  const Sequence *s = &b->s;
  const int H = s->hidden_size;
  const float **from = k->from + first;
  float **to = k->to + first;
  for (int i = 0; i < count; i++) {
    const Row *row = rows + i;
    const size_t at = (size_t)row->batch * s->time + row->time;
    float *d_h = b->d_h0 + (size_t)row->batch * H, *d_gates = b->d_gates + at * H;
    differentiate(H, relu, row, b->d_output ? b->d_output + at * s->output_stride : NULL, d_h, d_gates);
    from[i] = d_gates;
    to[i] = d_h;
  }
  multiply_rows(count, from, H, k->weights, H, to, 0);
}

static void step_backward_tanh(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  step_backward(0, b, rows, count, first, k);
}

static void step_backward_relu(const Backward *b, const Row *rows, int count, int first, BackwardScratch *k) {
  step_backward(1, b, rows, count, first, k);
}

static void hidden_gradients(const Backward *b, int index, int count, BackwardScratch *k) {
  add_hidden_gradients(b, 0, b->s.hidden_size, 0, k->h, 0, index, count, k);
}

static void finish_tanh(const Row *row, const vec *sum, int H, int j) { finish(0, row, sum, H, j); }
static void finish_relu(const Row *row, const vec *sum, int H, int j) { finish(1, row, sum, H, j); }

#define PASS(FINISH)                                                                                                                     \
  {.chains = VECTORS, .inputs = VECTORS, .hidden = VECTORS, .units = PANEL, .gate = {0, 0}, .unit = {0, VECTOR_WIDTH}, .finish = FINISH}
static const Pass TANH_PASS = PASS(finish_tanh), RELU_PASS = PASS(finish_relu);

const Cell RNN_TANH = {
    .gates = 1,
    .saved = 1,
    .panel_units = PANEL,
    .panels_apart = 1,
    .chains = 1,
    .panel_floats = panel_floats,
    .pack = pack,
    .step = step_tanh,
    .begin_backward = begin_backward,
    .step_backward = step_backward_tanh,
    .hidden_gradients = hidden_gradients,
    .passes = &TANH_PASS,
    .pass_count = 1,
};

const Cell RNN_RELU = {
    .gates = 1,
    .saved = 1,
    .panel_units = PANEL,
    .panels_apart = 1,
    .chains = 1,
    .panel_floats = panel_floats,
    .pack = pack,
    .step = step_relu,
    .begin_backward = begin_backward,
    .step_backward = step_backward_relu,
    .hidden_gradients = hidden_gradients,
    .passes = &RELU_PASS,
    .pass_count = 1,
};
