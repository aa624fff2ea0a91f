/**
 * @file Turns the JSB chorales, lists of {train, valid, test}[piece][step] of sounding piano keys, into a table with one row per step.
 *
 *     npx tsx --conditions=ostinato-source examples/language/chorales.ts jsb_chorales.json chorales.csv
 *
 * Columns: part, piece, step and keys, whole numbers of 0 .. 87 apart by spaces. An empty cell is silence.
 */
import { readFileSync, writeFileSync } from "node:fs";

const [source = "jsb_chorales.json", out = "chorales.csv"] = process.argv.slice(2);
const parts = JSON.parse(readFileSync(source, "utf8")) as Record<"train" | "valid" | "test", number[][][]>;

const lines = ["part,piece,step,keys"];
for (const [name, part] of [
  ["train", "train"],
  ["valid", "validation"],
  ["test", "test"],
] as const) {
  parts[name].forEach((piece, number) => {
    piece.forEach((keys, step) => {
      lines.push(`${part},${part}-${number + 1},${step},${keys.join(" ")}`);
    });
  });
}
writeFileSync(out, `${lines.join("\n")}\n`);
console.log(JSON.stringify({ out, steps: lines.length - 1, pieces: Object.values(parts).map((pieces) => pieces.length) }));
