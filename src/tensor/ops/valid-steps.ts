/** @file Zeros in place of what lies behind the end of each row, which is not read. */
import { OstinatoError } from "../../core/errors.js";
import { describeShape, sizeOf } from "../../core/shape.js";
import { type Op, type RawBuffer, wantFloat } from "../op.js";

/** x [B, T, ...] with all steps at or after `lengths[b]` zero; int32 [B], 0 .. T. No gradient flows into them. */
export const validSteps: Op<{ lengths: RawBuffer }> = {
  name: "validSteps",
  shapes([x], { lengths }) {
    wantFloat(x, "validSteps");
    if (x.shape.length < 2 || lengths.size !== x.shape[0]) {
      throw new OstinatoError("OST_SHAPE", {
        what: "one length per row is wanted",
        expected: "x [B, T, ...], lengths [B]",
        got: `x ${describeShape(x.shape)}, ${lengths.size} lengths`,
        where: "validSteps",
      });
    }
    return [x.shape];
  },
  forward(_, [y], [x], __, { lengths }) {
    const [from, to] = [x.floats(), y.floats()];
    to.fill(0);
    eachRow(x, lengths, (start, end) => to.set(from.subarray(start, end), start));
  },
  backward(engine, [dX], [dY], [x], _, __, { lengths }) {
    if (!dX || !dY) return;
    const bytes = engine.memory.bytesPerFloat;
    eachRow(x, lengths, (start, end) => engine.add(end - start, dY.pointer + start * bytes, dX.pointer + start * bytes));
  },
};

function eachRow({ shape }: RawBuffer, lengths: RawBuffer, visit: (start: number, end: number) => void): void {
  const width = sizeOf(shape.slice(2));
  const valid = lengths.ints();
  for (let b = 0; b < shape[0]; b++) {
    const start = b * shape[1] * width;
    if (valid[b] > 0) visit(start, start + valid[b] * width);
  }
}
