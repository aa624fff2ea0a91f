/* One AdamW update of several parameters in place.
 *
 *     g = scale * gradient                    m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
 *     p = p - rate * decay * p - rate * (m / correction1) / (sqrt(v / correction2) + epsilon)
 *
 * Kingma & Ba 2015, arXiv:1412.6980; decoupled weight decay: Loshchilov & Hutter 2019, arXiv:1711.05101.
 */
#include "call.h"
#include "parallel.h"

typedef struct {
  char *memory;
  const uint32_t *parameters; /* per parameter: count, value, gradient, first moment, second moment */
  int count;
  float scale, keep, rate, old1, new1, old2, new2, unbias2, epsilon;
} Adam;

/* `count` floats at each place, none overlapping another. Moments below TINY become zero, and so does the square of a gradient whose square
 * would be: moments that nothing feeds any more fade towards the denormals. */
static void update(const Adam *a, int count, float *parameter, const float *gradient, float *first_moment, float *second_moment) {
  for (int i = 0; i < count; i += VECTOR_WIDTH) {
    const int lanes = count - i;
    const vec g = flush(load_lanes(gradient + i, lanes) * a->scale);
    const vec squarable = (vec)((bits)g & ~less(absolute(g), splat(1e-15f)));
    const vec m = flush(load_lanes(first_moment + i, lanes) * a->old1 + g * a->new1);
    const vec v = flush(load_lanes(second_moment + i, lanes) * a->old2 + squarable * squarable * a->new2);
    const vec p = load_lanes(parameter + i, lanes);
    store_lanes(first_moment + i, m, lanes);
    store_lanes(second_moment + i, v, lanes);
    store_lanes(parameter + i, p * a->keep - m * a->rate / (square_root(v * a->unbias2) + a->epsilon), lanes);
  }
}

static void adam_body(void *context, int index, int count) {
  const Adam *a = context;
  for (int i = 0; i < a->count; i++) {
    const uint32_t *words = a->parameters + 5 * i;
    const Share share = share_of((int)words[0], 64, index, count);
    float *array[4];
    for (int k = 0; k < 4; k++) array[k] = (float *)at_offset(a->memory, words[1 + k]) + share.from;
    update(a, share.to - share.from, array[0], array[1], array[2], array[3]);
  }
}

size_t adam_step_kernel(Call *call) {
  Adam a = {.memory = call->memory};
  const double scale = next_double(call), rate = next_double(call), beta1 = next_double(call), beta2 = next_double(call);
  const double epsilon = next_double(call), decay = next_double(call), correction1 = next_double(call), correction2 = next_double(call);
  a.scale = (float)scale, a.keep = (float)(1.0 - rate * decay), a.rate = (float)(rate / correction1);
  a.old1 = (float)beta1, a.new1 = (float)(1.0 - beta1), a.old2 = (float)beta2, a.new2 = (float)(1.0 - beta2);
  a.unbias2 = (float)(1.0 / correction2), a.epsilon = (float)epsilon;
  a.count = next_int(call);
  a.parameters = (const uint32_t *)next_ints(call);
  double values = 0;
  for (int i = 0; i < a.count; i++) values += a.parameters[5 * i];
  parallel(threads_for(call->threads, values, 1 << 15), adam_body, &a);
  return 0;
}
