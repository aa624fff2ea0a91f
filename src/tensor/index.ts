export { backward, graphOf, type Node, type Variable } from "./autograd.js";
export { type DType, emptyBuffer, type Op, RawBuffer } from "./op.js";
export { inference, scope } from "./storage.js";
export {
  apply,
  applyAll,
  type CreateOptions,
  concatenate,
  filled,
  integers,
  type Operand,
  Parameter,
  parameter,
  Tensor,
  tensor,
  zeros,
} from "./tensor.js";
