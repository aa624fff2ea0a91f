/* Every kernel there is, in the order of their numbers; src/kernels/compiled.ts has the same list. */
#ifndef OSTINATO_KERNELS_H
#define OSTINATO_KERNELS_H

#include "call.h"

#define KERNELS(EACH)                                                                                                                   \
  EACH(program)                                                                                                                         \
  EACH(matmul)                                                                                                                          \
  EACH(linear_pack)                                                                                                                     \
  EACH(linear_forward)                                                                                                                  \
  EACH(activation_tanh)                                                                                                                 \
  EACH(activation_sigmoid)                                                                                                              \
  EACH(sum_of_squares)                                                                                                                  \
  EACH(add)                                                                                                                             \
  EACH(add_column_sums)                                                                                                                 \
  EACH(all_finite)                                                                                                                      \
  EACH(recurrent_pack)                                                                                                                  \
  EACH(recurrent_forward)                                                                                                               \
  EACH(recurrent_backward)                                                                                                              \
  EACH(cross_entropy_forward)                                                                                                           \
  EACH(cross_entropy_backward)                                                                                                          \
  EACH(embedding_forward)                                                                                                               \
  EACH(embedding_backward)                                                                                                              \
  EACH(adam_step)                                                                                                                       \
  EACH(multiply_add_peak)                                                                                                               \
  EACH(shared_calls)

#define DECLARE(name) size_t name##_kernel(Call *call);
KERNELS(DECLARE)
#undef DECLARE

#endif
