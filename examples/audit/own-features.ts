/**
 * Audits features of one's own: a load smoothed with a window that is centred, and so reads three hours that have not happened yet.
 *
 *     npx tsx examples/audit/own-features.ts
 */
import { audit, type Pipeline, subjectOf, tableFromRecords } from "ostinato";

const table = tableFromRecords(
  Array.from({ length: 1200 }, (_, hour) => ({
    time: new Date(Date.UTC(2024, 0, 1, hour)).toISOString(),
    kw: 40 + 12 * Math.sin((2 * Math.PI * hour) / 24) + 3 * Math.sin(hour * hour),
  })),
);
const subject = subjectOf(
  table,
  {
    targetKind: "values",
    time: "time",
    features: ["kw"],
    target: "kw",
    split: { by: "time", train: 0.7, validation: 0.15, test: 0.15 },
  },
  { length: 48, horizon: 6 },
);

/** The mean of the rows from `back` before to `ahead` after each row; nothing is fitted. */
function smoothed(back: number, ahead: number): Pipeline {
  return {
    name: `a mean over rows -${back} to +${ahead}`,
    declaredLookAhead: 0,
    fit: () => (series) => {
      const values = Float64Array.from({ length: series.rows }, (_, i) => {
        const near = series.features.subarray(Math.max(0, i - back), i + ahead + 1);
        return near.reduce((sum, kw) => sum + kw, 0) / near.length;
      });
      return { names: ["smooth"], values };
    },
  };
}

for (const pipeline of [smoothed(3, 3), smoothed(6, 0)]) {
  const { verdict, findings } = audit({ ...subject, pipeline });
  console.log(`${pipeline.name}: ${verdict}`);
  for (const { status, title, detail, example, repair } of findings) {
    if (status === "leak") console.log(`  ${title}: ${detail}\n  ${example}\n  repair: ${repair}`);
  }
}
