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
#include "call.h"
#include "parallel.h"

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
    most = choose(less(v, most), most, v);
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

typedef struct {
  int rows, classes;
  const float *logits;
  const int32_t *targets;
  const float *class_weights; /* [classes] or NULL */
  double smoothing;
  float *losses;         /* [rows] */
  const float *d_losses; /* [rows] */
  float *d_logits;       /* [rows, classes], += */
} CrossEntropy;

static CrossEntropy read_cross_entropy(Call *call) {
  CrossEntropy e = {.rows = next_int(call), .classes = 0};
  e.classes = next_int(call);
  e.logits = next_floats(call), e.targets = next_ints(call), e.class_weights = next_floats(call);
  e.smoothing = next_double(call);
  return e;
}

static int worthwhile_threads(const Call *call, const CrossEntropy *e) {
  return threads_for(call->threads, (double)e->rows * e->classes, 1 << 14);
}

static void forward_body(void *context, int index, int count) {
  const CrossEntropy *e = context;
  const int classes = e->classes;
  const float *weights = e->class_weights;
  const Share share = share_of(e->rows, 1, index, count);
  const double spread = e->smoothing / classes, total_weight = sum_of_weights(classes, weights);
  for (int row = share.from; row < share.to; row++) {
    const float *x = e->logits + (size_t)row * classes;
    const int target = e->targets[row];
    if (target < 0) {
      e->losses[row] = 0.0f;
      continue;
    }
    const float max = maximum(classes, x);
    const double log_sum = logarithm(sum_of_exps(classes, x, max));
    double loss = (1.0 - e->smoothing) * (weights ? weights[target] : 1.0f) * (log_sum - ((double)x[target] - max));
    if (e->smoothing > 0) {
      double weighted = 0;
      for (int c = 0; c < classes; c++) weighted += (weights ? weights[c] : 1.0f) * ((double)x[c] - max);
      loss += spread * (total_weight * log_sum - weighted);
    }
    e->losses[row] = (float)loss;
  }
}

size_t cross_entropy_forward_kernel(Call *call) {
  CrossEntropy e = read_cross_entropy(call);
  e.losses = next_floats(call);
  parallel(worthwhile_threads(call, &e), forward_body, &e);
  return 0;
}

static void backward_body(void *context, int index, int count) {
  const CrossEntropy *e = context;
  const int classes = e->classes;
  const float *weights = e->class_weights;
  const Share share = share_of(e->rows, 1, index, count);
  const double spread = e->smoothing / classes, total_weight = sum_of_weights(classes, weights);
  for (int row = share.from; row < share.to; row++) {
    const float *x = e->logits + (size_t)row * classes;
    float *d = e->d_logits + (size_t)row * classes;
    const int target = e->targets[row];
    if (target < 0) continue;
    const double target_mass = (1.0 - e->smoothing) * (weights ? weights[target] : 1.0f);
    const double slope = e->d_losses[row];
    const float max = maximum(classes, x);
    const float part = (float)(slope * (target_mass + spread * total_weight) / sum_of_exps(classes, x, max));
    const float spread_slope = (float)(slope * spread);
    for (int c = 0; c < classes; c += VECTOR_WIDTH) {
      const int lanes = classes - c;
      const vec p = exp_negative(load_filled(x + c, lanes, -__builtin_inff()) - max);
      const vec q = weights ? load_lanes(weights + c, lanes) * spread_slope : splat(spread_slope);
      store_lanes(d + c, load_lanes(d + c, lanes) + flush(p * part - q), lanes);
    }
    d[target] -= (float)(slope * target_mass);
  }
}

size_t cross_entropy_backward_kernel(Call *call) {
  CrossEntropy e = read_cross_entropy(call);
  e.d_losses = next_floats(call), e.d_logits = next_floats(call);
  parallel(worthwhile_threads(call, &e), backward_body, &e);
  return 0;
}
