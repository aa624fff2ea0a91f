/**
 * @file One AdamW update.
 *
 *     g_t = scale * gradient
 *     m_t = beta1 m_{t-1} + (1 - beta1) g_t
 *     v_t = beta2 v_{t-1} + (1 - beta2) g_t^2
 *     p_t = p_{t-1} - rate * decay * p_{t-1} - rate * (m_t / (1 - beta1^t)) / (sqrt(v_t / (1 - beta2^t)) + epsilon)
 *
 * Sources: Kingma & Ba 2015, arXiv:1412.6980; decoupled decay: Loshchilov & Hutter 2019, arXiv:1711.05101.
 */
import type { AdamStep } from "../kernels.js";
import type { FloatArray } from "../memory.js";

export type AdamOptions = Omit<AdamStep, "parameters">;

/** Updates the parameters and both moments in place. */
export function adamStep(
  parameter: FloatArray,
  gradient: FloatArray,
  first: FloatArray,
  second: FloatArray,
  options: AdamOptions,
): void {
  const { gradientScale, learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2 } = options;
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i] * gradientScale;
    const m = beta1 * first[i] + (1 - beta1) * g;
    const v = beta2 * second[i] + (1 - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    parameter[i] -= learningRate * (weightDecay * parameter[i] + m / correction1 / (Math.sqrt(v / correction2) + epsilon));
  }
}
