/**
 * @file Turns the JSB chorales, lists of {train, valid, test}[piece][step] of sounding piano keys, into a table with one row per step.
 *
 *     npx tsx --conditions=ostinato-source examples/language/chorales.ts jsb_chorales.json chorales.csv [--transpose 3]
 *
 * Columns: part, piece, step and keys, whole numbers of 0 .. 87 apart by spaces. An empty cell is silence. With --transpose n each training
 * piece also stands there up to n semitones higher and lower, as far as its keys allow; validation and test are as given.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { positionals, values } = parseArgs({ allowPositionals: true, options: { transpose: { type: "string", default: "0" } } });
const [source = "jsb_chorales.json", out = "chorales.csv"] = positionals;
const KEYS = 88;
const parts = JSON.parse(readFileSync(source, "utf8")) as Record<"train" | "valid" | "test", number[][][]>;

const lines = ["part,piece,step,keys"];
for (const [name, part] of [
  ["train", "train"],
  ["valid", "validation"],
  ["test", "test"],
] as const) {
  const most = part === "train" ? Number(values.transpose) : 0;
  parts[name].forEach((piece, number) => {
    for (let shift = -most; shift <= most; shift++) {
      if (piece.some((keys) => keys.some((key) => key + shift < 0 || key + shift >= KEYS))) continue;
      piece.forEach((keys, step) => {
        lines.push(
          `${part},${part}-${number + 1}${shift === 0 ? "" : `-by${shift}`},${step},${keys.map((key) => key + shift).join(" ")}`,
        );
      });
    }
  });
}
writeFileSync(out, `${lines.join("\n")}\n`);
console.log(JSON.stringify({ out, steps: lines.length - 1, pieces: Object.values(parts).map((pieces) => pieces.length) }));
