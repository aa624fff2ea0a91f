/* Rows of a table by index. A negative index is padding: zeros out, no gradient. */
#include "call.h"
#include "vector.h"

/* output [rows, size] = table[indices]; output must not overlap the table. */
size_t embedding_forward_kernel(Call *call) {
  const int rows = next_int(call), size = next_int(call);
  const int32_t *indices = next_ints(call);
  const float *table = next_floats(call);
  float *output = next_floats(call);
  for (int row = 0; row < rows; row++, output += size) {
    const float *from = table + (size_t)(indices[row] < 0 ? 0 : indices[row]) * size;
    for (int j = 0; j < size; j++) output[j] = indices[row] < 0 ? 0.0f : from[j];
  }
  return 0;
}

/* d_table[indices] += d_output [rows, size], rows in order: an index that occurs twice gets the earlier row first. */
size_t embedding_backward_kernel(Call *call) {
  const int rows = next_int(call), size = next_int(call);
  const int32_t *indices = next_ints(call);
  const float *d_output = next_floats(call);
  float *d_table = next_floats(call);
  for (int row = 0; row < rows; row++, d_output += size) {
    if (indices[row] < 0) continue;
    float *to = d_table + (size_t)indices[row] * size;
    for (int j = 0; j < size; j += VECTOR_WIDTH) {
      const int lanes = size - j;
      store_lanes(to + j, load_lanes(to + j, lanes) + load_lanes(d_output + j, lanes), lanes);
    }
  }
  return 0;
}
