/* The walk over a sequence and the parameter gradients, for all cells. See recurrent.h. */
#include "recurrent.h"

float *pack_weights(const float *weights, int count, int vectors, const int *first, const int *lanes, float *packed) {
  for (int k = 0; k < count; k++) {
    for (int v = 0; v < vectors; v++, packed += VECTOR_WIDTH) {
      const float *column = weights + (size_t)first[v] * count + k;
      for (int lane = 0; lane < VECTOR_WIDTH; lane++) packed[lane] = lane < lanes[v] ? column[(size_t)lane * count] : 0.0f;
    }
  }
  return packed;
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

/* Counting sort by descending length; stable. */
static void sort_rows(const Sequence *s, int32_t *counts, int32_t *order) {
  for (int t = 0; t <= s->time; t++) counts[t] = 0;
  for (int b = 0; b < s->batch; b++) counts[s->lengths[b]]++;
  int next = 0;
  for (int t = s->time; t >= 0; t--) {
    const int count = counts[t];
    counts[t] = next;
    next += count;
  }
  for (int b = 0; b < s->batch; b++) order[counts[s->lengths[b]]++] = b;
}

/* The time of step number `step` of row b, and of the step before it. */
static int time_of(const Sequence *s, int b, int step) { return s->reverse ? s->lengths[b] - 1 - step : step; }

static float *output_at(const Sequence *s, int b, int t) { return s->output + ((size_t)b * s->time + t) * s->output_stride; }

static const float *hidden_before(const Sequence *s, int b, int step) {
  return step == 0 ? s->h0 + (size_t)b * s->hidden_size : output_at(s, b, time_of(s, b, step - 1));
}

int rows_at(const Sequence *s, int step, const int32_t *order, int active, float *c, Row *rows) {
  const size_t H = s->hidden_size;
  while (active > 0 && s->lengths[order[active - 1]] <= step) active--;
  while (active < s->batch && s->lengths[order[active]] > step) active++;
  for (int i = 0; i < active; i++) {
    const int b = order[i], t = time_of(s, b, step);
    const size_t at = (size_t)b * s->time + t;
    Row *row = rows + i;
    row->batch = b;
    row->time = t;
    row->x = s->x + at * s->input_size;
    row->h = hidden_before(s, b, step);
    row->output = s->output + at * s->output_stride;
    row->gates = s->gates ? s->gates + at * 4 * H : NULL;
    row->cell = s->cells ? s->cells + at * H : c ? c + b * H : NULL;
    if (!s->cells) row->c = row->cell;
    else if (step == 0) row->c = s->c0 + b * H;
    else row->c = s->cells + ((size_t)b * s->time + time_of(s, b, step - 1)) * H;
  }
  return active;
}

ForwardScratch forward_scratch(const Sequence *s, int with_gates, Scratch *scratch) {
  ForwardScratch f;
  f.order = take(scratch, s->batch * sizeof(int32_t));
  f.counts = take(scratch, (s->time + 1) * sizeof(int32_t));
  f.rows = take(scratch, s->batch * sizeof(Row));
  f.gates = with_gates ? take(scratch, (size_t)s->batch * 4 * s->hidden_size * sizeof(float)) : NULL;
  return f;
}

static void zero(float *p, size_t count) {
  for (size_t i = 0; i < count; i++) p[i] = 0.0f;
}

static void copy(float *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = from[i];
}

void begin_forward(const Forward *f, ForwardScratch *scratch) {
  const Sequence *s = &f->s;
  const size_t H = s->hidden_size;
  sort_rows(s, scratch->counts, scratch->order);
  for (int b = 0; b < s->batch; b++) {
    for (int t = s->lengths[b]; t < s->time; t++) zero(output_at(s, b, t), H);
    const size_t at = (size_t)b * s->time + s->lengths[b], padded = s->time - s->lengths[b];
    if (s->gates) zero(s->gates + at * 4 * H, padded * 4 * H);
    if (s->cells) zero(s->cells + at * H, padded * H);
  }
  if (f->cN && !s->cells && f->cN != s->c0) copy(f->cN, s->c0, s->batch * H);
}

void finish_forward(const Forward *f) {
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

BackwardScratch backward_scratch(const Sequence *s, int gates, Scratch *scratch) {
  const size_t B = s->batch, steps = B * s->time, H = s->hidden_size;
  const int pre_activations = gates * s->hidden_size, widest = s->input_size > s->hidden_size ? s->input_size : s->hidden_size;
  BackwardScratch k;
  k.order = take(scratch, B * sizeof(int32_t));
  k.counts = take(scratch, (s->time + 1) * sizeof(int32_t));
  k.rows = take(scratch, B * sizeof(Row));
  k.from = take(scratch, B * sizeof(float *));
  k.to = take(scratch, B * sizeof(float *));
  k.gradient = take(scratch, steps * sizeof(float *));
  k.x = take(scratch, steps * sizeof(float *));
  k.h = take(scratch, steps * sizeof(float *));
  k.d_x = take(scratch, steps * sizeof(float *));
  k.d_q = take(scratch, B * H * sizeof(float));
  k.weights = take(scratch, packed_matrix_floats(pre_activations, widest) * sizeof(float));
  k.weights_n = take(scratch, packed_matrix_floats(s->hidden_size, s->hidden_size) * sizeof(float));
  k.product = take(scratch, multiply_scratch_floats(pre_activations, widest, (int)steps) * sizeof(float));
  k.steps = 0;
  return k;
}

int begin_backward(const Backward *b, int saved, BackwardScratch *scratch) {
  const Sequence *s = &b->s;
  const size_t H = s->hidden_size;
  sort_rows(s, scratch->counts, scratch->order);
  int n = 0, longest = 0;
  for (int row = 0; row < s->batch; row++) {
    if (s->lengths[row] > longest) longest = s->lengths[row];
    for (int step = 0; step < s->lengths[row]; step++, n++) {
      const size_t at = (size_t)row * s->time + time_of(s, row, step);
      scratch->gradient[n] = b->d_gates + at * saved * H;
      scratch->x[n] = s->x + at * s->input_size;
      scratch->h[n] = hidden_before(s, row, step);
      scratch->d_x[n] = b->d_x ? b->d_x + at * s->input_size : NULL;
    }
  }
  scratch->steps = n;
  if (b->d_hN) copy(b->d_h0, b->d_hN, s->batch * H);
  else zero(b->d_h0, s->batch * H);
  if (b->d_c0 && b->d_cN) copy(b->d_c0, b->d_cN, s->batch * H);
  else if (b->d_c0) zero(b->d_c0, s->batch * H);
  return longest;
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

/* sum[j] += rows[k][offset + j] for k in order. */
static void add_rows(int count, const float *const *rows, int offset, int width, float *sum) {
  int j = 0;
  for (; j + 4 * VECTOR_WIDTH <= width; j += 4 * VECTOR_WIDTH) add_columns(4, count, rows, offset + j, VECTOR_WIDTH, sum + j);
  for (; j < width; j += VECTOR_WIDTH) add_columns(1, count, rows, offset + j, width - j, sum + j);
}

void add_input_gradients(const Backward *b, int gates, BackwardScratch *scratch) {
  const Sequence *s = &b->s;
  const int I = s->input_size, width = gates * s->hidden_size;
  const Operand gradient = {.rows = scratch->gradient, .stride = 1}, x = {.rows = scratch->x, .stride = 1};
  if (b->d_bias_ih) add_rows(scratch->steps, scratch->gradient, 0, width, b->d_bias_ih);
  if (b->d_weight_ih) multiply(width, I, scratch->steps, gradient, x, b->d_weight_ih, 1, scratch->product);
  if (b->d_x) {
    pack_matrix(width, I, (Operand){.base = b->weight_ih, .step = I, .stride = 1}, scratch->weights);
    multiply_rows(scratch->steps, scratch->gradient, width, scratch->weights, I, scratch->d_x, 1);
  }
}

void add_hidden_gradients(const Backward *b, int first, int count, int offset, const float *const *h, int h_offset,
                          BackwardScratch *scratch) {
  const int H = b->s.hidden_size;
  const Operand gradient = {.rows = scratch->gradient, .offset = offset, .stride = 1};
  const Operand hidden = {.rows = h, .offset = h_offset, .stride = 1};
  if (b->d_bias_hh) add_rows(scratch->steps, scratch->gradient, offset, count, b->d_bias_hh + first);
  if (b->d_weight_hh) multiply(count, H, scratch->steps, gradient, hidden, b->d_weight_hh + (size_t)first * H, 1, scratch->product);
}
