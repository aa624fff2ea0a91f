/* The recurrent kernels: the walk over a sequence, forward and backward, for all cells and on several threads. See recurrent.h.
 *
 * Threads share out the rows of the batch: each member walks its own rows through the whole sequence and waits for nobody. Where rows are too
 * few, members share out the panels of every step and meet after it. The gradients by the weights follow once all rows are done; members
 * share out their rows, so that each element is summed by one thread over all steps in one order.
 */
#include "recurrent.h"
#include "kernels.h"
#include "small-weights.h"

static const Cell *const CELLS[] = {&RNN_TANH, &RNN_RELU, &LSTM, &GRU, &GRU_RESET_BEFORE};

enum { ENOUGH = 1 << 17 }; /* multiply-adds that pay for waking a thread */

static void zero(float *p, size_t count) {
  for (size_t i = 0; i < count; i++) p[i] = 0.0f;
}

static void copy(float *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = from[i];
}

static void read_sequence(Call *call, Sequence *s) {
  s->batch = next_int(call), s->time = next_int(call), s->input_size = next_int(call), s->hidden_size = next_int(call);
  s->reverse = next_int(call), s->output_stride = next_int(call);
  s->lengths = next_ints(call);
  s->x = next_floats(call), s->h0 = next_floats(call), s->c0 = next_floats(call);
  s->output = next_floats(call), s->gates = next_floats(call), s->cells = next_floats(call);
}

/* Multiply-adds of one step of one row. */
static double step_work(const Cell *cell, const Sequence *s) {
  return (double)cell->gates * s->hidden_size * (s->input_size + s->hidden_size);
}

/* ---- Packing: the cell's panels, then what hoisting needs: the biases [G*H] and weight_ih as the right factor of a product ---- */

float *pack_weights(const float *weights, int count, int vectors, const int *first, const int *lanes, float *packed) {
  /* A cache line of every row at a time, so that what is written stays near too. */
  for (int from = 0; from < count; from += 16) {
    const int to = smaller(from + 16, count);
    for (int v = 0; v < vectors; v++) {
      for (int lane = 0; lane < VECTOR_WIDTH; lane++) {
        const float *row = weights + (size_t)(first[v] + lane) * count;
        float *place = packed + v * VECTOR_WIDTH + lane;
        for (int k = from; k < to; k++) place[(size_t)k * vectors * VECTOR_WIDTH] = lane < lanes[v] ? row[k] : 0.0f;
      }
    }
  }
  return packed + (size_t)count * vectors * VECTOR_WIDTH;
}

float *pack_biases(const float *a, const float *b, int vectors, const int *first, const int *lanes, float *packed) {
  for (int v = 0; v < vectors; v++, packed += VECTOR_WIDTH) {
    for (int lane = 0; lane < VECTOR_WIDTH; lane++) {
      const int row = first[v] + lane;
      packed[lane] = lane < lanes[v] ? (a ? a[row] : 0.0f) + (b ? b[row] : 0.0f) : 0.0f;
    }
  }
  return packed;
}

static size_t bias_floats(const Cell *cell, int hidden_size) {
  return (size_t)(cell->gates * hidden_size + VECTOR_WIDTH - 1) / VECTOR_WIDTH * VECTOR_WIDTH;
}

/* Words: cell, type of weights, input_size, hidden_size, then either the place for the bytes that packing writes and 0, or the weights, biases and packed. */
size_t recurrent_pack_kernel(Call *call) {
  const Cell *cell = CELLS[next_int(call)];
  const SmallWeights *small = SMALL_WEIGHTS[next_int(call)];
  Weights w;
  const int I = w.input_size = next_int(call), H = w.hidden_size = next_int(call), G = cell->gates;
  int32_t *bytes = next_ints(call);
  if (bytes) {
    if (small) *bytes = (int32_t)small_packed_bytes(small, cell, I, H);
    else *bytes = (int32_t)((cell->panel_floats(I, H) + bias_floats(cell, H) + packed_matrix_floats(I, G * H)) * sizeof(float));
    return 0;
  }
  w.weight_ih = next_floats(call), w.weight_hh = next_floats(call), w.bias_ih = next_floats(call), w.bias_hh = next_floats(call);
  float *packed = next_floats(call);
  if (small) {
    small_pack(small, cell, &w, (char *)packed);
    return 0;
  }
  cell->pack(&w, packed);
  packed += cell->panel_floats(I, H);
  for (int j = 0; j < G * H; j++) {
    packed[j] = (w.bias_ih ? w.bias_ih[j] : 0.0f) + (w.bias_hh && j < cell->chains * H ? w.bias_hh[j] : 0.0f);
  }
  pack_matrix(I, G * H, (Operand){.base = w.weight_ih, .step = 1, .stride = I}, packed + bias_floats(cell, H));
  return 0;
}

/* ---- The walk ---- */

/* Counting sort by descending length; stable. Returns the longest length. */
static int sort_rows(const Sequence *s, int32_t *counts, int32_t *order) {
  int longest = 0;
  for (int t = 0; t <= s->time; t++) counts[t] = 0;
  for (int b = 0; b < s->batch; b++) {
    counts[s->lengths[b]]++;
    if (s->lengths[b] > longest) longest = s->lengths[b];
  }
  int next = 0;
  for (int t = s->time; t >= 0; t--) {
    const int count = counts[t];
    counts[t] = next;
    next += count;
  }
  for (int b = 0; b < s->batch; b++) order[counts[s->lengths[b]]++] = b;
  return longest;
}

/* The time of step number `step` of row b. */
static int time_of(const Sequence *s, int b, int step) { return s->reverse ? s->lengths[b] - 1 - step : step; }

static float *output_at(const Sequence *s, int b, int t) { return s->output + ((size_t)b * s->time + t) * s->output_stride; }

static const float *hidden_before(const Sequence *s, int b, int step) {
  return step == 0 ? s->h0 + (size_t)b * s->hidden_size : output_at(s, b, time_of(s, b, step - 1));
}

/* The rows of one member: every `stride`th of the order from `first` on, so that members get long and short rows alike. */
typedef struct {
  const Sequence *s;
  const int32_t *order;
  int first, stride, count;
  float *c; /* where LSTM cells live when s->cells is NULL */
} Walk;

static Walk walk_of(const Sequence *s, const int32_t *order, float *c, int index, int count) {
  return (Walk){.s = s, .order = order, .first = index, .stride = count, .count = (s->batch - index + count - 1) / count, .c = c};
}

static int walk_length(const Walk *w, int i) { return w->s->lengths[w->order[w->first + i * w->stride]]; }

/* Where the rows of a member begin, when members' rows lie one after another. */
static int first_of(int batch, int index, int count) { return index * (batch / count) + smaller(index, batch % count); }

/* Fills `rows` with the rows that have a step number `step`; returns how many. `active` is the count of a step beside it. */
static int rows_at(const Walk *w, int step, int active, Row *rows) {
  const Sequence *s = w->s;
  const size_t H = s->hidden_size;
  while (active > 0 && walk_length(w, active - 1) <= step) active--;
  while (active < w->count && walk_length(w, active) > step) active++;
  for (int i = 0; i < active; i++) {
    const int b = w->order[w->first + i * w->stride], t = time_of(s, b, step);
    const size_t at = (size_t)b * s->time + t;
    Row *row = rows + i;
    row->batch = b;
    row->time = t;
    row->x = s->x + at * s->input_size;
    row->h = hidden_before(s, b, step);
    row->output = s->output + at * s->output_stride;
    row->projected = NULL;
    row->gates = s->gates ? s->gates + at * 4 * H : NULL;
    row->cell = s->cells ? s->cells + at * H : w->c ? w->c + b * H : NULL;
    if (!s->cells) row->c = row->cell;
    else if (step == 0) row->c = s->c0 + b * H;
    else row->c = s->cells + ((size_t)b * s->time + time_of(s, b, step - 1)) * H;
  }
  return active;
}

/* ---- Forward ---- */

typedef struct {
  Forward f;
  const Cell *cell;
  const SmallWeights *small; /* NULL: the weights are float32 */
  int32_t *order, *counts;
  Row *rows;          /* [B]; per member where they share panels */
  char *activations;  /* small weights' scratch for each of `rows` */
  float *gates;       /* [B, 4H]: the gates of one step, for a cell that needs them where none are kept */
  float *projected;   /* [block, B, G*H]: hoisted input projections where no gates are kept */
  const float **from; /* [block, B] */
  float **to;         /* [block, B] */
  int block;          /* steps whose input projection is hoisted together; 0: none */
  int longest;
  int by_panels;      /* members share panels instead of rows */
  int threads;
  Barrier barrier;
} ForwardWalk;

/* Up to how many rows hoisting pays. It makes the projection of a single row one matrix product, which reads the weights once per tile of
 * steps instead of once per step; with enough rows a step does that already. Measured by bench/hoisting.ts. */
enum { HOISTED_ROWS = VECTOR_WIDTH == 16 ? 2 : VECTOR_WIDTH == 8 ? 4 : 1, HOISTED_INPUTS = 32, HOISTED_TIME = 8 };

/* Steps whose projection is computed together, or 0. `hoist`: 0 as it pays, 1 never, 2 always. */
static int hoisted_steps(const Cell *cell, const Sequence *s, int hoist) {
  const int pays = s->batch <= HOISTED_ROWS && s->input_size >= HOISTED_INPUTS && s->time >= HOISTED_TIME;
  if (hoist == 1 || (hoist == 0 && !pays) || s->batch == 0) return 0;
  const size_t step_bytes = (size_t)s->batch * cell->gates * s->hidden_size * sizeof(float);
  const int fit = (int)((256 << 10) / step_bytes);
  return fit < 8 ? 8 : fit > s->time ? s->time : fit;
}

static size_t lay_out_forward(ForwardWalk *w, char *memory) {
  const Sequence *s = &w->f.s;
  const size_t B = s->batch, H = s->hidden_size, members = w->by_panels ? w->threads : 1;
  Scratch scratch = {memory};
  w->order = take(&scratch, B * sizeof(int32_t));
  w->counts = take(&scratch, (s->time + 1) * sizeof(int32_t));
  w->rows = take(&scratch, members * B * sizeof(Row));
  if (w->small) w->activations = take(&scratch, members * B * w->small->row_bytes(s->input_size, s->hidden_size));
  w->gates = w->cell == &GRU_RESET_BEFORE && !s->gates ? take(&scratch, B * 4 * H * sizeof(float)) : NULL;
  if (w->block) {
    w->from = take(&scratch, (size_t)w->block * B * sizeof(float *));
    w->to = take(&scratch, (size_t)w->block * B * sizeof(float *));
    w->projected = s->gates ? NULL : take(&scratch, (size_t)w->block * B * w->cell->gates * H * sizeof(float));
  }
  return taken(&scratch) - (size_t)(uintptr_t)memory;
}

/* Outputs and saved values at padded steps are zero; cells that are not kept start from c0. */
static void begin_forward(const Forward *f) {
  const Sequence *s = &f->s;
  const size_t H = s->hidden_size;
  for (int b = 0; b < s->batch; b++) {
    for (int t = s->lengths[b]; t < s->time; t++) zero(output_at(s, b, t), H);
    const size_t at = (size_t)b * s->time + s->lengths[b], padded = s->time - s->lengths[b];
    if (s->gates) zero(s->gates + at * 4 * H, padded * 4 * H);
    if (s->cells) zero(s->cells + at * H, padded * H);
  }
  if (f->cN && !s->cells && f->cN != s->c0) copy(f->cN, s->c0, s->batch * H);
}

/* Copies the last states to hN and, where there are cells, cN. */
static void finish_forward(const Forward *f) {
  const Sequence *s = &f->s;
  const size_t H = s->hidden_size;
  for (int b = 0; b < s->batch; b++) {
    const int length = s->lengths[b];
    const float *h = hidden_before(s, b, length);
    if (h != f->hN + b * H) copy(f->hN + b * H, h, H);
    if (f->cN && s->cells) {
      const float *c = length == 0 ? s->c0 + b * H : s->cells + ((size_t)b * s->time + time_of(s, b, length - 1)) * H;
      if (c != f->cN + b * H) copy(f->cN + b * H, c, H);
    }
  }
}

/* Where the projection of row `row` (of all rows) at step `step` of the block that begins at `block_start` lies. */
static float *projected_at(const ForwardWalk *w, int b, int t, int slot) {
  const Sequence *s = &w->f.s;
  if (s->gates) return s->gates + ((size_t)b * s->time + t) * 4 * s->hidden_size;
  return w->projected + (size_t)slot * w->cell->gates * s->hidden_size;
}

/* The input projections of steps start .. start+block of the walk's rows, as one product. When members share a walk, each takes its share of
 * the list. */
static void project(const ForwardWalk *w, const Walk *walk, int start, int index, int count) {
  const Sequence *s = &w->f.s;
  const int width = w->cell->gates * s->hidden_size;
  const float *bias = w->f.packed + w->cell->panel_floats(s->input_size, s->hidden_size);
  const float *weights = bias + bias_floats(w->cell, s->hidden_size);
  /* Lists of members who walk apart lie apart: a row's place in the order times the block. */
  for (int i = 0; i < walk->count; i++) {
    const int place = walk->first + i * walk->stride, b = walk->order[place];
    const int steps = smaller(w->block, s->lengths[b] - start);
    if (steps <= 0) break;
    const Share share = share_of(steps, QUAD_ROWS, index, count);
    const float **from = w->from + (size_t)place * w->block;
    float **to = w->to + (size_t)place * w->block;
    for (int step = share.from; step < share.to; step++) {
      const int t = time_of(s, b, start + step);
      from[step] = s->x + ((size_t)b * s->time + t) * s->input_size;
      to[step] = projected_at(w, b, t, place * w->block + step);
      copy(to[step], bias, width);
    }
    multiply_rows(share.to - share.from, from + share.from, s->input_size, weights, width, to + share.from, 1);
  }
}

static void forward_body(void *context, int index, int count) {
  ForwardWalk *w = context;
  const Forward *f = &w->f;
  const Sequence *s = &f->s;
  const int panels = (s->hidden_size + w->cell->panel_units - 1) / w->cell->panel_units;
  const Walk walk = w->by_panels ? walk_of(s, w->order, f->cN, 0, 1) : walk_of(s, w->order, f->cN, index, count);
  Row *rows = w->rows + (w->by_panels ? index * s->batch : first_of(s->batch, index, count));
  const Share share = w->by_panels ? share_of(panels, 1, index, count) : (Share){0, panels};
  int active = walk.count;
  for (int step = 0;; step++) {
    active = rows_at(&walk, step, active, rows);
    if (active == 0) break;
    if (w->block) {
      const int slot = step % w->block;
      if (slot == 0) {
        project(w, &walk, step, w->by_panels ? index : 0, w->by_panels ? count : 1);
        if (w->by_panels) wait_for_all(&w->barrier, count);
      }
      for (int i = 0; i < active; i++) {
        rows[i].projected = projected_at(w, rows[i].batch, rows[i].time, (walk.first + i * walk.stride) * w->block + slot);
      }
    }
    if (w->gates) {
      for (int i = 0; i < active; i++) rows[i].gates = w->gates + (size_t)rows[i].batch * 4 * s->hidden_size;
    }
    if (w->small) {
      char *activations = w->activations + (rows - w->rows) * w->small->row_bytes(s->input_size, s->hidden_size);
      small_step(w->small, w->cell, f, rows, active, share.from, share.to, activations);
    } else if (step % 2 == 1 && active < QUAD_ROWS && w->cell->panels_apart) {
      /* Few rows are bound by reading the weights: from the end backwards, every other step begins with those still in the cache. */
      for (int to = share.to, from; to > share.from; to = from) {
        from = share.from + (to - 1 - share.from) / SOLO_PANELS * SOLO_PANELS;
        w->cell->step(f, rows, active, from, to);
      }
    } else {
      w->cell->step(f, rows, active, share.from, share.to);
    }
    if (w->by_panels) wait_for_all(&w->barrier, count);
  }
}

size_t recurrent_forward_kernel(Call *call) {
  ForwardWalk w = {.cell = CELLS[next_int(call)]};
  w.small = SMALL_WEIGHTS[next_int(call)];
  read_sequence(call, &w.f.s);
  w.f.packed = next_floats(call), w.f.hN = next_floats(call), w.f.cN = next_floats(call);
  const Sequence *s = &w.f.s;
  const double work = step_work(w.cell, s);
  w.block = hoisted_steps(w.cell, s, w.small ? 1 : next_int(call));
  w.threads = threads_for(call->threads, work * s->batch * s->time, ENOUGH);
  if (w.threads > 1 && s->batch < w.threads * QUAD_ROWS / 2) {
    /* Sharing panels costs a meeting per step. */
    const int worth = threads_for(w.threads, work * s->batch, ENOUGH);
    w.by_panels = w.cell->panels_apart && worth > 1;
    w.threads = w.by_panels ? worth : smaller(w.threads, s->batch);
  }
  const size_t wanted = lay_out_forward(&w, NULL);
  if (wanted > call->scratch_bytes) return wanted;
  lay_out_forward(&w, call->scratch);
  w.longest = sort_rows(s, w.counts, w.order);
  begin_forward(&w.f);
  parallel(w.threads, forward_body, &w);
  finish_forward(&w.f);
  return 0;
}

/* ---- Backward ---- */

typedef struct {
  Backward b;
  const Cell *cell;
  BackwardScratch k;
  int threads;
} BackwardWalk;

static size_t lay_out_backward(BackwardWalk *w, char *memory) {
  const Sequence *s = &w->b.s;
  const size_t B = s->batch, steps = B * s->time, H = s->hidden_size;
  const int rows = w->cell->gates * s->hidden_size, widest = s->input_size > s->hidden_size ? s->input_size : s->hidden_size;
  BackwardScratch *k = &w->k;
  Scratch scratch = {memory};
  k->order = take(&scratch, B * sizeof(int32_t));
  k->counts = take(&scratch, (s->time + 1) * sizeof(int32_t));
  k->rows = take(&scratch, B * sizeof(Row));
  k->from = take(&scratch, B * sizeof(float *));
  k->to = take(&scratch, B * sizeof(float *));
  k->gradient = take(&scratch, steps * sizeof(float *));
  k->x = take(&scratch, steps * sizeof(float *));
  k->h = take(&scratch, steps * sizeof(float *));
  k->d_x = take(&scratch, steps * sizeof(float *));
  k->d_q = take(&scratch, B * H * sizeof(float));
  k->weights = take(&scratch, packed_matrix_floats(rows, s->hidden_size) * sizeof(float));
  k->weights_n = take(&scratch, packed_matrix_floats(s->hidden_size, s->hidden_size) * sizeof(float));
  k->weights_x = take(&scratch, packed_matrix_floats(rows, s->input_size) * sizeof(float));
  k->product_floats = (multiply_scratch_floats(rows, widest, (int)steps) + 15) & ~(size_t)15;
  k->product = take(&scratch, w->threads * k->product_floats * sizeof(float));
  return taken(&scratch) - (size_t)(uintptr_t)memory;
}

/* Lists all steps that exist (row by row, each in the order of its walk) and starts the running gradients from d_hN and d_cN. */
static void begin_backward(BackwardWalk *w) {
  const Backward *b = &w->b;
  const Sequence *s = &b->s;
  const size_t H = s->hidden_size, saved = w->cell->saved;
  BackwardScratch *k = &w->k;
  k->longest = sort_rows(s, k->counts, k->order);
  int n = 0;
  for (int row = 0; row < s->batch; row++) {
    for (int step = 0; step < s->lengths[row]; step++, n++) {
      const size_t at = (size_t)row * s->time + time_of(s, row, step);
      k->gradient[n] = b->d_gates + at * saved * H;
      k->x[n] = s->x + at * s->input_size;
      k->h[n] = hidden_before(s, row, step);
      k->d_x[n] = b->d_x ? b->d_x + at * s->input_size : NULL;
    }
  }
  k->steps = n;
  if (b->d_hN) copy(b->d_h0, b->d_hN, s->batch * H);
  else zero(b->d_h0, s->batch * H);
  if (b->d_c0 && b->d_cN) copy(b->d_c0, b->d_cN, s->batch * H);
  else if (b->d_c0) zero(b->d_c0, s->batch * H);
  w->cell->begin_backward(b, k);
  if (b->d_x) {
    const int rows = w->cell->gates * s->hidden_size;
    pack_matrix(rows, s->input_size, (Operand){.base = b->weight_ih, .step = s->input_size, .stride = 1}, k->weights_x);
  }
}

/* sum[0 .. lanes) += rows[k][offset ..] for k in order, `vectors` vectors side by side; four make a cache line of a row. */
INLINE void add_columns(const int vectors, int count, const float *const *rows, int offset, int lanes, float *sum) {
  vec total[4];
  UNROLL for (int v = 0; v < vectors; v++) total[v] = load_lanes(sum + v * VECTOR_WIDTH, lanes);
  for (int k = 0; k < count; k++) {
    UNROLL for (int v = 0; v < vectors; v++) total[v] += load_lanes(rows[k] + offset + v * VECTOR_WIDTH, lanes);
  }
  UNROLL for (int v = 0; v < vectors; v++) store_lanes(sum + v * VECTOR_WIDTH, total[v], lanes);
}

/* sum[j] += rows[k][offset + j] for k in order; this member's columns. */
static void add_rows(int count, const float *const *rows, int offset, int width, float *sum, int index, int members) {
  const Share share = share_of(width, 4 * VECTOR_WIDTH, index, members);
  int j = share.from;
  for (; j + 4 * VECTOR_WIDTH <= share.to; j += 4 * VECTOR_WIDTH) add_columns(4, count, rows, offset + j, VECTOR_WIDTH, sum + j);
  for (; j < share.to; j += VECTOR_WIDTH) add_columns(1, count, rows, offset + j, share.to - j, sum + j);
}

enum { ROW_GRAIN = 12 }; /* rows of a weight gradient that members take together: whole tiles at every width */

/* d_x, d_weight_ih and d_bias_ih from the first G*H values of each step's d_gates; this member's share. */
static void add_input_gradients(const Backward *b, int gates, int index, int count, BackwardScratch *k) {
  const Sequence *s = &b->s;
  const int I = s->input_size, width = gates * s->hidden_size;
  const Operand x = {.rows = k->x, .stride = 1};
  if (b->d_bias_ih) add_rows(k->steps, k->gradient, 0, width, b->d_bias_ih, index, count);
  if (b->d_weight_ih) {
    const Share share = share_of(width, ROW_GRAIN, index, count);
    const Operand gradient = {.rows = k->gradient, .offset = share.from, .stride = 1};
    multiply(share.to - share.from, I, k->steps, gradient, x, b->d_weight_ih + (size_t)share.from * I, I, 1,
             k->product + index * k->product_floats);
  }
  if (b->d_x) {
    const Share share = share_of(k->steps, ROW_GRAIN, index, count);
    multiply_rows(share.to - share.from, k->gradient + share.from, width, k->weights_x, I, k->d_x + share.from, 1);
  }
}

void add_hidden_gradients(const Backward *b, int first, int rows, int offset, const float *const *h, int h_offset, int index, int count,
                          BackwardScratch *k) {
  const int H = b->s.hidden_size;
  if (b->d_bias_hh) add_rows(k->steps, k->gradient, offset, rows, b->d_bias_hh + first, index, count);
  if (b->d_weight_hh) {
    const Share share = share_of(rows, ROW_GRAIN, index, count);
    const Operand gradient = {.rows = k->gradient, .offset = offset + share.from, .stride = 1};
    const Operand hidden = {.rows = h, .offset = h_offset, .stride = 1};
    multiply(share.to - share.from, H, k->steps, gradient, hidden, b->d_weight_hh + (size_t)(first + share.from) * H, H, 1,
             k->product + index * k->product_floats);
  }
}

/* Back through time: d_gates of every step of this member's rows, and the gradients by their first state. */
static void backward_body(void *context, int index, int count) {
  BackwardWalk *w = context;
  const Sequence *s = &w->b.s;
  const Walk walk = walk_of(s, w->k.order, NULL, index, count);
  const int first = first_of(s->batch, index, count);
  Row *rows = w->k.rows + first;
  int active = 0;
  for (int step = w->k.longest - 1; step >= 0; step--) {
    active = rows_at(&walk, step, active, rows);
    if (active > 0) w->cell->step_backward(&w->b, rows, active, first, &w->k);
  }
}

/* What follows from d_gates: this member's rows of the gradients by the weights, and of d_x. */
static void gradients_body(void *context, int index, int count) {
  BackwardWalk *w = context;
  add_input_gradients(&w->b, w->cell->gates, index, count, &w->k);
  w->cell->hidden_gradients(&w->b, index, count, &w->k);
}

size_t recurrent_backward_kernel(Call *call) {
  BackwardWalk w = {.cell = CELLS[next_int(call)]};
  Backward *b = &w.b;
  read_sequence(call, &b->s);
  b->weight_ih = next_floats(call), b->weight_hh = next_floats(call);
  b->d_output = next_floats(call), b->d_hN = next_floats(call), b->d_cN = next_floats(call);
  b->d_gates = next_floats(call), b->d_x = next_floats(call);
  b->d_weight_ih = next_floats(call), b->d_weight_hh = next_floats(call);
  b->d_bias_ih = next_floats(call), b->d_bias_hh = next_floats(call);
  b->d_h0 = next_floats(call), b->d_c0 = next_floats(call);
  w.threads = threads_for(call->threads, 2 * step_work(w.cell, &b->s) * b->s.batch * b->s.time, ENOUGH);
  const size_t wanted = lay_out_backward(&w, NULL);
  if (wanted > call->scratch_bytes) return wanted;
  lay_out_backward(&w, call->scratch);
  begin_backward(&w);
  parallel(w.threads, backward_body, &w);
  parallel(w.threads, gradients_body, &w);
  return 0;
}
