/**
 * @file Spoken digits of the Free Spoken Digit Dataset, recordings 0 to 14, of which 0 to 4 are the test: single digits by their class, and
 * strings of three to five, joined with a fixed seed, by connectionist temporal classification.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ResultRow, scripted, trained } from "./row.js";

export const rows: ResultRow[] = [
  {
    name: "FSDD digits",
    data: "speech-fsdd",
    metric: "accuracy, test",
    higherIsBetter: true,
    bar: 0.93,
    published: "0.923 (public CNN example, a random split)",
    run: ({ data, seed }) =>
      trained("examples/classify/spoken-digits.yaml", {
        set: [`data.source=${data}/recordings`, "evaluation.rivals=false"],
        seed,
        metric: "accuracy",
        higherIsBetter: true,
      }),
  },
  {
    name: "FSDD digit strings",
    data: "speech-fsdd",
    metric: "label error rate, test",
    higherIsBetter: false,
    bar: 0.1,
    published: "none",
    run: ({ data, seed }) => {
      const strings = mkdtempSync(join(tmpdir(), "ostinato-digit-strings-"));
      try {
        scripted("examples/transcribe/join-digits.ts", [join(data, "recordings"), strings]);
        return trained("examples/transcribe/digit-strings.yaml", {
          set: [`data.source=${strings}`, "evaluation.rivals=false"],
          seed,
          metric: "tokenErrorRate",
          higherIsBetter: false,
        });
      } finally {
        rmSync(strings, { recursive: true, force: true });
      }
    },
  },
];
