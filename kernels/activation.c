/* Elementwise kernels and sums over arrays. NaN passes through; nothing traps. */
#include "call.h"
#include "parallel.h"

typedef struct {
  int rows, columns;
  const float *x;
  float *y;
} Map;

static void tanh_body(void *context, int index, int count) {
  const Map *m = context;
  const Share share = share_of(m->columns, 64, index, count);
  for (int i = share.from; i < share.to; i += VECTOR_WIDTH) {
    store_lanes(m->y + i, vector_tanh(load_lanes(m->x + i, share.to - i)), share.to - i);
  }
}

static void sigmoid_body(void *context, int index, int count) {
  const Map *m = context;
  const Share share = share_of(m->columns, 64, index, count);
  for (int i = share.from; i < share.to; i += VECTOR_WIDTH) {
    store_lanes(m->y + i, vector_sigmoid(load_lanes(m->x + i, share.to - i)), share.to - i);
  }
}

static void add_body(void *context, int index, int count) {
  const Map *m = context;
  const Share share = share_of(m->columns, 64, index, count);
  for (int i = share.from; i < share.to; i += VECTOR_WIDTH) {
    const int lanes = share.to - i;
    store_lanes(m->y + i, load_lanes(m->y + i, lanes) + load_lanes(m->x + i, lanes), lanes);
  }
}

static size_t map(Call *call, Body *body) {
  Map m = {.columns = next_int(call)};
  m.x = next_floats(call), m.y = next_floats(call);
  parallel(threads_for(call->threads, m.columns, 1 << 14), body, &m);
  return 0;
}

/* y[0 .. count) = tanh(x); y may be x. Each element's bits depend on nothing but its value. */
size_t activation_tanh_kernel(Call *call) { return map(call, tanh_body); }

/* y[0 .. count) = 1 / (1 + exp(-x)); y may be x. Likewise. */
size_t activation_sigmoid_kernel(Call *call) { return map(call, sigmoid_body); }

/* y[0 .. count) += x. */
size_t add_kernel(Call *call) { return map(call, add_body); }

static void column_body(void *context, int index, int count) {
  const Map *m = context;
  const Share share = share_of(m->columns, VECTOR_WIDTH, index, count);
  for (int j = share.from; j < share.to; j += VECTOR_WIDTH) {
    const int lanes = share.to - j;
    vec sum = load_lanes(m->y + j, lanes);
    for (int row = 0; row < m->rows; row++) sum += load_lanes(m->x + (size_t)row * m->columns + j, lanes);
    store_lanes(m->y + j, sum, lanes);
  }
}

/* y[columns] += the sum of x [rows, columns] over rows, in order. */
size_t add_column_sums_kernel(Call *call) {
  Map m = {.rows = next_int(call), .columns = 0};
  m.columns = next_int(call);
  m.x = next_floats(call), m.y = next_floats(call);
  parallel(threads_for(call->threads, (double)m.rows * m.columns, 1 << 15), column_body, &m);
  return 0;
}

/* Sum of x*x over several arrays, in double precision: per array four chains, of the elements 0, 4, 8 ..., 1, 5, 9 ... and so on, whatever
 * the vector width, then the arrays in order. Words: number of arrays, list of (count, x), place of the double. */
size_t sum_of_squares_kernel(Call *call) {
  const int arrays = next_int(call);
  const uint32_t *list = (const uint32_t *)next_ints(call);
  double total = 0;
  for (int array = 0; array < arrays; array++, list += 2) {
    const int count = (int)list[0];
    const float *x = at_offset(call->memory, list[1]);
    double sum[4] = {0, 0, 0, 0};
    int i = 0;
    for (; i + 4 <= count; i += 4) {
      UNROLL for (int chain = 0; chain < 4; chain++) sum[chain] += (double)x[i + chain] * x[i + chain];
    }
    for (; i < count; i++) sum[i & 3] += (double)x[i] * x[i];
    total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
  __builtin_memcpy(next_ints(call), &total, sizeof total);
  return 0;
}

/* 1 at the place if every one of x[0 .. count) is finite, else 0. */
size_t all_finite_kernel(Call *call) {
  const int count = next_int(call);
  const float *x = next_floats(call);
  bits wrong = {0};
  for (int i = 0; i < count; i += VECTOR_WIDTH) {
    /* x - x is zero, or NaN where x is infinite or NaN. */
    const vec v = load_lanes(x + i, count - i);
    wrong |= (bits)((v - v) != splat(0.0f));
  }
  int finite = 1;
  for (int lane = 0; lane < VECTOR_WIDTH; lane++) finite &= wrong[lane] == 0;
  *next_ints(call) = finite;
  return 0;
}
