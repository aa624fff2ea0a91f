/* Rows of a table by index. A negative index is padding: zeros out, no gradient. */
#include "vector.h"

/* output [rows, size] = table[indices]; output must not overlap the table. */
EXPORT(embedding_forward) void embedding_forward(int rows, int size, const int32_t *indices, const float *table, float *output) {
  for (int row = 0; row < rows; row++, output += size) {
    const float *from = table + (size_t)indices[row] * size;
    for (int j = 0; j < size; j++) output[j] = indices[row] < 0 ? 0.0f : from[j];
  }
}

/* d_table[indices] += d_output [rows, size], rows in order: an index that occurs twice gets the earlier row first. */
EXPORT(embedding_backward) void embedding_backward(int rows, int size, const int32_t *indices, const float *d_output, float *d_table) {
  for (int row = 0; row < rows; row++, d_output += size) {
    if (indices[row] < 0) continue;
    float *to = d_table + (size_t)indices[row] * size;
    for (int j = 0; j < size; j += VECTOR_WIDTH) {
      const int lanes = size - j;
      store_lanes(to + j, load_lanes(to + j, lanes) + load_lanes(d_output + j, lanes), lanes);
    }
  }
}
