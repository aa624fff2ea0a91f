import { expect, it } from "vitest";
import { runTransform } from "../transform.js";
import { Position } from "./position.js";

it("Position marks the first row of a series and counts the rows before", () => {
  const transform = new Position(["a"]);
  expect(transform.outputs).toEqual(["a", "session.start", "session.position"]);
  const rows = { count: 3, width: 1, time: Float64Array.of(0, 1, 2), values: Float64Array.of(7, 8, 9) };
  const expected = [7, 1, 0, 8, 0, Math.log1p(1), 9, 0, Math.log1p(2)];
  expect([...runTransform(transform, rows, null).values]).toEqual(expected);
  expect([...runTransform(transform, rows, null).values], "a second series begins anew").toEqual(expected);
});
