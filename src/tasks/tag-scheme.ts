/** @file Tags that must follow a scheme of spans (BIO and its relatives), checked before anything is learned from them. */
import { OstinatoError } from "../core/errors.js";
import { elementAt, type PreparedData, rowName, stretches, type TagScheme, validateTags } from "../data/index.js";

/**
 * Every series must be tagged in the scheme throughout; steps without a tag (the later pieces of a word) count for nothing.
 *
 * @throws OST_TARGET at the first tag that breaks it, with its row.
 */
export function checkTagScheme(prepared: PreparedData, scheme: TagScheme): void {
  const { preprocessing, series } = prepared;
  let faults = 0;
  let first: { where: string; fault: string; got: string; repair: string } | undefined;
  for (const { entity, classes, row, copy } of series) {
    if (!classes || copy) continue;
    const tags: string[] = [];
    const steps: number[] = [];
    let step = 0;
    for (const some of stretches(classes)) {
      for (const index of some) {
        if (index >= 0) {
          tags.push(preprocessing.classes[index]);
          steps.push(step);
        }
        step++;
      }
    }
    for (const { position, tag, fault, repair } of validateTags(tags, scheme)) {
      faults++;
      first ??= { where: `${rowName(prepared, elementAt(row, steps[position]))}, series "${entity}"`, fault, got: tag, repair };
    }
  }
  if (!first) return;
  throw new OstinatoError("OST_TARGET", {
    what: `${first.fault}${faults > 1 ? `, the first of ${faults} tags that break the scheme` : ""}`,
    expected: `tags in the scheme ${scheme}`,
    got: JSON.stringify(first.got),
    where: first.where,
    repair: `write ${first.repair} there, or set data.tagScheme to the scheme of the data`,
  });
}
