/**
 * @file A pattern as a program for a machine of threads. See pattern.ts for how it runs.
 */
import { type Assertion, type CharSet, malformed, type PatternNode } from "./pattern-syntax.js";

export type Instruction =
  /** Goes on behind a unit of the set. */
  | { op: "set"; set: CharSet }
  /** Goes on where the assertion holds. */
  | { op: "assert"; at: Assertion }
  /** Goes on at both, `first` preferred. */
  | { op: "split"; first: number; second: number }
  | { op: "jump"; to: number }
  | { op: "match" };

/** The most instructions a program may have: counted repeats are written out. */
const LARGEST_PROGRAM = 1000;

/** @throws OST_RANGE if the program would be too large. */
export function compilePattern(root: PatternNode, source: string): Instruction[] {
  const program: Instruction[] = [];
  const emit = (instruction: Instruction): number => {
    if (program.length >= LARGEST_PROGRAM) throw malformed(source, `it comes to more than ${LARGEST_PROGRAM} steps written out`);
    return program.push(instruction) - 1;
  };
  /** Emits a split to the next instruction and to one that `elsewhere` sets later. */
  const branch = (lazy: boolean) => {
    const split = { op: "split" as const, first: 0, second: 0 };
    const at = emit(split);
    const [next, other] = lazy ? (["second", "first"] as const) : (["first", "second"] as const);
    split[next] = at + 1;
    return {
      at,
      elsewhere: (to: number) => {
        split[other] = to;
      },
    };
  };
  const write = (node: PatternNode): void => {
    switch (node.kind) {
      case "set":
        emit({ op: "set", set: node.set });
        return;
      case "assert":
        emit({ op: "assert", at: node.at });
        return;
      case "all":
        for (const item of node.items) write(item);
        return;
      case "any": {
        const ends: { op: "jump"; to: number }[] = [];
        node.items.forEach((item, i) => {
          if (i === node.items.length - 1) {
            write(item);
            return;
          }
          const { elsewhere } = branch(false);
          write(item);
          const jump = { op: "jump" as const, to: 0 };
          ends.push(jump);
          emit(jump);
          elsewhere(program.length);
        });
        for (const jump of ends) jump.to = program.length;
        return;
      }
      case "repeat": {
        // An empty item repeated is the empty item, and costs no instruction that the limit could count.
        if (isEmpty(node.item)) return;
        for (let i = 0; i < node.min; i++) write(node.item);
        if (node.max === Number.POSITIVE_INFINITY) {
          const { at, elsewhere } = branch(node.lazy);
          write(node.item);
          emit({ op: "jump", to: at });
          elsewhere(program.length);
          return;
        }
        const open = Array.from({ length: node.max - node.min }, () => {
          const { elsewhere } = branch(node.lazy);
          write(node.item);
          return elsewhere;
        });
        for (const elsewhere of open) elsewhere(program.length);
      }
    }
  };
  write(root);
  emit({ op: "match" });
  return program;
}

function isEmpty(node: PatternNode): boolean {
  if (node.kind === "all" || node.kind === "any") return node.items.every(isEmpty);
  return node.kind === "repeat" && isEmpty(node.item);
}
