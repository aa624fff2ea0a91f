/** @file Every format version ever published stays readable and predicts what it did. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FORMAT_VERSION, openModel, openSession, type Prediction } from "../../src/model/index.js";

const folder = new URL("./model-files/", import.meta.url);
const stems = readdirSync(folder)
  .filter((name) => name.endsWith(".safetensors"))
  .map((name) => name.slice(0, -".safetensors".length));

describe("model files of every version", () => {
  it("are kept for each version up to the present one", () => {
    for (let version = 1; version <= FORMAT_VERSION; version++) {
      expect(stems.filter((stem) => stem.startsWith(`v${version}-`)).length).toBeGreaterThanOrEqual(3);
    }
  });

  for (const stem of stems) {
    it(`${stem} opens and predicts what it did`, async () => {
      const loaded = await openModel(readFileSync(new URL(`${stem}.safetensors`, folder)));
      const { records, predictions } = JSON.parse(readFileSync(new URL(`${stem}.json`, folder), "utf8"));
      const session = openSession(loaded, { owner: "golden" });
      let compared = 0;
      records.forEach((record: never, i: number) => {
        const got = session.push(record);
        expect(got.length).toBe(predictions[i].length);
        got.forEach((prediction, k) => {
          const wanted: Prediction = predictions[i][k];
          expect(prediction.time).toBe(wanted.time);
          expect(prediction.label).toBe(wanted.label);
          // Engines differ by a few units in the last place of float32.
          for (const [name, share] of Object.entries(wanted.probabilities ?? {})) {
            expect((prediction.probabilities as Record<string, number>)[name]).toBeCloseTo(share, 5);
            compared++;
          }
          for (const [name, values] of Object.entries(wanted.forecast ?? {})) {
            values.forEach((value, p) => {
              expect((prediction.forecast as Record<string, number[]>)[name][p]).toBeCloseTo(value, 4);
              compared++;
            });
          }
        });
      });
      expect(compared).toBeGreaterThan(10);
    });
  }
});
