/**
 * @file The scorer of spans gives the published F1 of the seven systems of the WNUT 2017 shared task (Derczynski et al. 2017) from the files they
 * handed in. Skipped by name where the data are not there.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { spanF1 } from "../../src/evaluate/index.js";
import { DATA_FOLDER } from "./data-set.js";

const FOLDER = join(DATA_FOLDER, "tag-wnut17-ner");

const PUBLISHED = {
  uh_ritual: 41.86,
  "spinningbytes.txt": 40.78,
  "sjtu_adapt.txt": 40.42,
  arcada: 39.98,
  flytxt: 38.35,
  "mic-cis.txt": 37.06,
  drexel_cci: 26.3,
};

/** The last word of each line, in sentences that blank lines part. */
function tagsOf(file: string): string[][] {
  const sentences: string[][] = [[]];
  for (const line of readFileSync(join(FOLDER, file), "utf8").split(/\r?\n/)) {
    const tag = line.trim().split(/\s+/).at(-1) as string;
    if (tag !== "") sentences[sentences.length - 1].push(tag);
    else if (sentences[sentences.length - 1].length > 0) sentences.push([]);
  }
  return sentences.filter((sentence) => sentence.length > 0);
}

if (!existsSync(FOLDER)) it.skip(`wnut17: SKIPPED, the data are not in ${FOLDER} (set OSTINATO_DATA)`, () => {});
else
  describe("wnut17", () => {
    const truth = tagsOf("emerging.test.annotated");

    it("holds the sentences and tokens its authors name", () => {
      expect(truth.length).toBe(1287);
      expect(truth.flat().length).toBe(23_394);
    });

    it.each(Object.entries(PUBLISHED))("gives %s an F1 of %f", (file, published) => {
      const { f1 } = spanF1(truth, tagsOf(join("submissions", file)));
      expect(Math.abs(100 * f1 - published)).toBeLessThan(0.01);
    });

    it("gives the published precision and recall of the best and the last", () => {
      const best = spanF1(truth, tagsOf("submissions/uh_ritual"));
      expect([100 * best.precision, 100 * best.recall].map((share) => share.toFixed(2))).toEqual(["57.54", "32.90"]);
      const last = spanF1(truth, tagsOf("submissions/drexel_cci"));
      expect([100 * last.precision, 100 * last.recall].map((share) => share.toFixed(2))).toEqual(["50.39", "17.79"]);
    });
  });
