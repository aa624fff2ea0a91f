/** @file No session ever sees another: every answer is, bit for bit, that of a replay in isolation. */
import type { ModelSource } from "../../../src/serve/engine.js";
import { type InterleavingReport, interleave } from "../interleaving.js";
import { LOAD_FEATURES, loadModelFile } from "../load-model.js";
import { modelAlone, probeAlone, type Reference } from "../reference.js";
import type { Row, RowOptions, RowResult } from "../row.js";
import { enumerateSchedules } from "../schedules.js";

const IDS = 1500;

const row: Row = {
  name: "isolation",
  async run(options) {
    const file = loadModelFile(3);
    const models: { name: string; source: ModelSource; reference: Reference; width: number }[] = [
      { name: "probe", source: { probe: true }, reference: probeAlone, width: 1 },
      { name: "GRU 16->64", source: { bytes: file }, reference: await modelAlone(file), width: LOAD_FEATURES },
    ];
    const results: RowResult[] = [];
    for (const { name, ...model } of models) {
      const steps = options.quick ? 100_000 : 1_000_000;
      const report = await interleave({ ...model, steps, ids: IDS, seed: options.seed });
      results.push(interleavingResult(name, steps, report, options));
    }
    const { schedules, operations, wrongs } = await enumerateSchedules({ quick: options.quick });
    results.push({
      row: "isolation: two sessions x four operations x two slots",
      goal: "all schedules, 0 wrong",
      measured: `${schedules} schedules, ${operations} operations, ${wrongs.length} wrong${wrongs[0] ? `: ${wrongs[0]}` : ""}`,
      pass: wrongs.length === 0 && schedules > 0,
    });
    return results;
  },
};

function interleavingResult(name: string, steps: number, report: InterleavingReport, { log }: RowOptions): RowResult {
  const { counts, wrong, wrongs, violations, violationCount } = report;
  log(
    `${name}: ${[...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `${what} ${count}`)
      .join(", ")}`,
  );
  const poisoned = ["OST_MISSING", "OST_NAN", "OST_VALUE", "OST_RECORD"].reduce((sum, code) => sum + (counts.get(code) ?? 0), 0);
  const problems = [...wrongs, ...violations].join("; ");
  return {
    row: `isolation: ${name}`,
    goal: `>= ${steps} interleaved steps, 0 bits other than alone`,
    measured: `${report.steps} steps in ${report.lives} lives under ${IDS} ids, ${poisoned} NaN and overflows refused beside them; ${wrong} wrong, ${violationCount} violations${problems && `: ${problems}`}`,
    pass: report.steps >= steps && wrong === 0 && violationCount === 0,
  };
}

export default row;
