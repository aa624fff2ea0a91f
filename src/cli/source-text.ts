/** @file Texts of the command line as a model's data: each is a series of its own. */
import { OstinatoError } from "../core/errors.js";
import {
  applyPreprocessing,
  type Codebook,
  type PreparedData,
  tableFromRecords,
  unknownPiece,
  Vocabulary,
} from "../data/index.js";
import type { LoadedModel } from "../model/index.js";

/**
 * Texts that read no other column than a model's one column of codes.
 *
 * @param texts none of them blank.
 * @throws OST_CONFIG where the model reads something else too. @throws OST_VALUE for what its vocabulary does not hold.
 */
export function prepareTexts({ header, preprocessing }: LoadedModel, texts: readonly string[]): PreparedData {
  const { roles, derived, categories } = preprocessing;
  const [source, ...others] = categories.filter(({ of }) => of === undefined);
  if (!source || others.length > 0 || roles.features.length > 0 || derived.sessions) {
    throw new OstinatoError("OST_CONFIG", {
      what: "the model reads more than one column of texts",
      expected: "a model whose only input is one text column",
      got: [...roles.features, ...categories.map(({ column }) => column)].slice(0, 8).join(", ") || "none",
      where: header.name,
      repair: "give the columns in a file: --data FILE",
    });
  }
  const { column, codebook } = source;
  const prepared = texts.map((text, i) => {
    wantKnown(codebook, text, `text ${i + 1}`);
    const cells = codebook.several ? [text] : text.trim().split(/\s+/);
    const records = cells.map((cell, at) => ({
      ...(roles.time !== null && { [roles.time]: at }),
      ...(roles.entity !== null && { [roles.entity]: String(i + 1) }),
      [column]: cell,
    }));
    const names = [column, ...(roles.entity === null ? [] : [roles.entity])];
    const table = tableFromRecords(records, { source: `text ${i + 1}`, text: names });
    for (const one of table.columns) if (one.name === column) one.verbatim = true;
    return applyPreprocessing(table, preprocessing, { target: "optional" });
  });
  return { ...prepared[0], series: prepared.flatMap(({ series }) => series.map((one, s) => ({ ...one, entity: String(s) }))) };
}

/**
 * Refuses a text that holds what no code stands for, unless training met such places too and so learned what to make of them.
 *
 * @throws OST_VALUE naming it.
 */
export function wantKnown(codebook: Codebook, text: string, where: string): void {
  const cells = codebook.several ? [text] : text.trim().split(/\s+/);
  if (learnedUnknown(codebook) || !cells.some((cell) => codebook.encode(cell).includes(0))) return;
  const got = unknownPiece(codebook, text) ?? cells.find((cell) => codebook.encode(cell).includes(0)) ?? text.slice(0, 40);
  throw new OstinatoError("OST_VALUE", {
    what: "the text holds what the model has never seen",
    expected: "what its vocabulary holds",
    got: JSON.stringify(got),
    where,
    repair: "leave it out, or train on text that holds it",
  });
}

/** Whether training held places without a code of their own, so that `<unknown>` means something to the model. */
export function learnedUnknown(codebook: Codebook): boolean {
  const own = "vocabulary" in codebook ? codebook.vocabulary : codebook;
  return own instanceof Vocabulary && own.counts[0] > 0;
}
