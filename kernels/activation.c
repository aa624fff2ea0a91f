/* Elementwise activations and the sum of squares. NaN passes through; nothing traps. */
#include "vector.h"

/* y[0 .. count) = tanh(x); y may be x. Each element's bits depend on nothing but its value. */
EXPORT(activation_tanh) void activation_tanh(int count, const float *x, float *y) {
  for (int i = 0; i < count; i += VECTOR_WIDTH) store_lanes(y + i, vector_tanh(load_lanes(x + i, count - i)), count - i);
}

/* y[0 .. count) = 1 / (1 + exp(-x)); y may be x. Likewise. */
EXPORT(activation_sigmoid) void activation_sigmoid(int count, const float *x, float *y) {
  for (int i = 0; i < count; i += VECTOR_WIDTH) store_lanes(y + i, vector_sigmoid(load_lanes(x + i, count - i)), count - i);
}

/* Sum of x*x in double precision: four chains, of the elements 0, 4, 8 ..., 1, 5, 9 ... and so on, whatever the vector width. */
EXPORT(activation_sum_of_squares) double activation_sum_of_squares(int count, const float *x) {
  double sum[4] = {0, 0, 0, 0};
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    UNROLL for (int chain = 0; chain < 4; chain++) sum[chain] += (double)x[i + chain] * x[i + chain];
  }
  for (; i < count; i++) sum[i & 3] += (double)x[i] * x[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
