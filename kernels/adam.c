/* One AdamW update in place.
 *
 *     g = scale * gradient                    m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
 *     p = p - rate * decay * p - rate * (m / correction1) / (sqrt(v / correction2) + epsilon)
 *
 * Kingma & Ba 2015, arXiv:1412.6980; decoupled weight decay: Loshchilov & Hutter 2019, arXiv:1711.05101.
 */
#include "vector.h"

/* Arrays of `count` floats, none overlapping another. Moments below TINY become zero, and so does the square of a gradient whose square
 * would be: moments that nothing feeds any more fade towards the denormals. */
EXPORT(adam_step)
void adam_step(int count, float *parameter, const float *gradient, float *first_moment, float *second_moment, double gradient_scale,
               double learning_rate, double beta1, double beta2, double epsilon, double weight_decay, double correction1,
               double correction2) {
  const float scale = (float)gradient_scale, keep = (float)(1.0 - learning_rate * weight_decay);
  const float rate = (float)(learning_rate / correction1);
  const float old1 = (float)beta1, new1 = (float)(1.0 - beta1), old2 = (float)beta2, new2 = (float)(1.0 - beta2);
  const float unbias2 = (float)(1.0 / correction2), eps = (float)epsilon;
  for (int i = 0; i < count; i += VECTOR_WIDTH) {
    const int lanes = count - i;
    const vec g = flush(load_lanes(gradient + i, lanes) * scale);
    const vec squarable = (vec)((bits)g & ~less(absolute(g), splat(1e-15f)));
    const vec m = flush(load_lanes(first_moment + i, lanes) * old1 + g * new1);
    const vec v = flush(load_lanes(second_moment + i, lanes) * old2 + squarable * squarable * new2);
    const vec p = load_lanes(parameter + i, lanes);
    store_lanes(first_moment + i, m, lanes);
    store_lanes(second_moment + i, v, lanes);
    store_lanes(parameter + i, p * keep - m * rate / (square_root(v * unbias2) + eps), lanes);
  }
}
