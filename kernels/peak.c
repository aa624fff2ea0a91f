/* What the core can do at most: chains of multiply-adds that touch no memory. For benchmarks, which state shares of it. */
#include "call.h"
#include "vector.h"

enum { CHAINS = VECTOR_WIDTH == 16 ? 24 : 12 }; /* enough to hide the latency of one, few enough for the registers */

/* Words: rounds, place of one float. Runs rounds * CHAINS * VECTOR_WIDTH multiply-adds and leaves the number of floating point operations
 * per round there. */
size_t multiply_add_peak_kernel(Call *call) {
  const int rounds = next_int(call);
  float *result = next_floats(call);
  vec chain[CHAINS];
  const vec factor = splat(result[0]), addend = splat(result[0] * 0.5f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = splat((float)i);
  for (int round = 0; round < rounds; round++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = multiply_add(chain[i], factor, addend);
  }
  vec sum = chain[0];
  UNROLL for (int i = 1; i < CHAINS; i++) sum += chain[i];
  /* The sum takes part, so that no compiler leaves the chains out; with a factor below one it stays finite. */
  result[0] = (float)(2 * CHAINS * VECTOR_WIDTH) + (sum[0] == 12345.0f);
  return 0;
}
