/* The affine map of a linear layer with its weights packed once: y = x W^T + b.
 *
 * Law: y's element (row, o) is one chain: the bias (or zero), then the inputs in order.
 */
#include "call.h"
#include "matmul.h"
#include "parallel.h"

/* packed = the layout of weight [outputs, inputs] for `linear_forward`; `packed_matrix_floats(inputs, outputs)` floats. */
size_t linear_pack_kernel(Call *call) {
  const int inputs = next_int(call), outputs = next_int(call);
  const float *weight = next_floats(call);
  pack_matrix(inputs, outputs, (Operand){.base = weight, .step = 1, .stride = inputs}, next_floats(call));
  return 0;
}

typedef struct {
  int rows, inputs, outputs;
  const float *x, *packed, *bias, **from;
  float *y, **to;
} Linear;

static void linear_body(void *context, int index, int count) {
  const Linear *l = context;
  const Share share = share_of(l->rows, 6, index, count);
  for (int row = share.from; row < share.to; row++) {
    l->from[row] = l->x + (size_t)row * l->inputs;
    float *y = l->to[row] = l->y + (size_t)row * l->outputs;
    for (int o = 0; o < l->outputs; o += VECTOR_WIDTH) {
      const int lanes = l->outputs - o;
      store_lanes(y + o, l->bias ? load_lanes(l->bias + o, lanes) : splat(0.0f), lanes);
    }
  }
  multiply_rows(share.to - share.from, l->from + share.from, l->inputs, l->packed, l->outputs, l->to + share.from, 1);
}

/* y [rows, outputs] from x [rows, inputs], the packed weights, and bias [outputs] or none. */
size_t linear_forward_kernel(Call *call) {
  Linear l;
  l.rows = next_int(call), l.inputs = next_int(call), l.outputs = next_int(call);
  l.x = next_floats(call), l.packed = next_floats(call), l.bias = next_floats(call), l.y = next_floats(call);
  Scratch layout = {NULL};
  take(&layout, l.rows * sizeof(float *));
  take(&layout, l.rows * sizeof(float *));
  if (taken(&layout) > call->scratch_bytes) return taken(&layout);
  layout.next = call->scratch;
  l.from = take(&layout, l.rows * sizeof(float *));
  l.to = take(&layout, l.rows * sizeof(float *));
  parallel(threads_for(call->threads, (double)l.rows * l.inputs * l.outputs, 1 << 18), linear_body, &l);
  return 0;
}
