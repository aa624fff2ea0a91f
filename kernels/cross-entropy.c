/* Softmax and cross-entropy of each row at once, with class weights w and label smoothing s.
 *
 *     log p_c = x_c - max - log(sum_k exp(x_k - max))
 *     q_c     = (1 - s) [c = target] + s / C                       (Szegedy et al. 2016, arXiv:1512.00567)
 *     loss    = -sum_c q_c w_c log p_c
 *     d x_c  += d loss * (p_c * sum_k q_k w_k - q_c w_c)
 *
 * A target of -1 leaves its row out: loss 0, no gradient, and its logits are not read. Rows are independent; the sums of a row run in
 * float over spans of SPAN vectors and in double over spans, in a fixed order.
 */
#include "vector.h"

enum { SPAN = 32 };

static double sum_lanes(vec v) {
  double sum = 0;
  for (int lane = 0; lane < VECTOR_WIDTH; lane++) sum += v[lane];
  return sum;
}

/* The natural logarithm of a positive finite value, relative error below 1e-15: x = 2^e m with m near 1, and
 * log m = 2 (z + z^3/3 + z^5/5 + ...) with z = (m - 1) / (m + 1). NaN and infinity pass. */
static double logarithm(double x) {
  uint64_t pattern;
  __builtin_memcpy(&pattern, &x, sizeof x);
  int exponent = (int)(pattern >> 52) - 1023;
  if (exponent >= 1024) return x;
  pattern = (pattern & 0xfffffffffffffu) | 0x3ff0000000000000u;
  double m;
  __builtin_memcpy(&m, &pattern, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const double z = (m - 1.0) / (m + 1.0), z2 = z * z;
  double series = 0.0;
  for (int k = 21; k >= 1; k -= 2) series = series * z2 + 1.0 / k;
  return 2.0 * z * series + exponent * 0.6931471805599453;
}

static float maximum(int classes, const float *x) {
  vec most = splat(-__builtin_inff());
  for (int c = 0; c < classes; c += VECTOR_WIDTH) {
    const vec v = load_filled(x + c, classes - c, -__builtin_inff());
    most = select(less(v, most), most, v);
  }
  float max = most[0];
  for (int lane = 1; lane < VECTOR_WIDTH; lane++) max = most[lane] < max ? max : most[lane];
  return max;
}

/* sum_c exp(x_c - max), or NaN where any x is NaN. */
static double sum_of_exps(int classes, const float *x, float max) {
  double sum = 0;
  for (int c = 0; c < classes;) {
    vec part = splat(0.0f);
    for (int i = 0; i < SPAN && c < classes; i++, c += VECTOR_WIDTH) {
      part += exp_negative(load_filled(x + c, classes - c, -__builtin_inff()) - max);
    }
    sum += sum_lanes(part);
  }
  return sum;
}

static double sum_of_weights(int classes, const float *weights) {
  if (!weights) return classes;
  double sum = 0;
  for (int c = 0; c < classes; c++) sum += weights[c];
  return sum;
}

/* losses [rows] from logits [rows, classes], targets [rows], class_weights [classes] or NULL. */
EXPORT(cross_entropy_forward)
void cross_entropy_forward(int rows, int classes, const float *logits, const int32_t *targets, const float *class_weights, double smoothing,
                           float *losses) {
  const double spread = smoothing / classes, total_weight = sum_of_weights(classes, class_weights);
  for (int row = 0; row < rows; row++) {
    const float *x = logits + (size_t)row * classes;
    const int target = targets[row];
    if (target < 0) {
      losses[row] = 0.0f;
      continue;
    }
    const float max = maximum(classes, x);
    const double log_sum = logarithm(sum_of_exps(classes, x, max));
    double loss = (1.0 - smoothing) * (class_weights ? class_weights[target] : 1.0f) * (log_sum - ((double)x[target] - max));
    if (smoothing > 0) {
      double weighted = 0;
      for (int c = 0; c < classes; c++) weighted += (class_weights ? class_weights[c] : 1.0f) * ((double)x[c] - max);
      loss += spread * (total_weight * log_sum - weighted);
    }
    losses[row] = (float)loss;
  }
}

/* d_logits [rows, classes] += the gradient, from d_losses [rows]. */
EXPORT(cross_entropy_backward)
void cross_entropy_backward(int rows, int classes, const float *logits, const int32_t *targets, const float *class_weights, double smoothing,
                            const float *d_losses, float *d_logits) {
  const double spread = smoothing / classes, total_weight = sum_of_weights(classes, class_weights);
  for (int row = 0; row < rows; row++) {
    const float *x = logits + (size_t)row * classes;
    float *d = d_logits + (size_t)row * classes;
    const int target = targets[row];
    if (target < 0) continue;
    const double target_mass = (1.0 - smoothing) * (class_weights ? class_weights[target] : 1.0f);
    const double slope = d_losses[row];
    const float max = maximum(classes, x);
    const float share = (float)(slope * (target_mass + spread * total_weight) / sum_of_exps(classes, x, max));
    const float spread_slope = (float)(slope * spread);
    for (int c = 0; c < classes; c += VECTOR_WIDTH) {
      const int lanes = classes - c;
      const vec p = exp_negative(load_filled(x + c, lanes, -__builtin_inff()) - max);
      const vec q = class_weights ? load_lanes(class_weights + c, lanes) * spread_slope : splat(spread_slope);
      store_lanes(d + c, load_lanes(d + c, lanes) + flush(p * share - q), lanes);
    }
    d[target] -= (float)(slope * target_mass);
  }
}
