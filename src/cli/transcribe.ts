/** @file `ostinato transcribe`: sound files through a model's own audio features into text. */
import { basename } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { applyPreprocessing, batches, type PreparedData, sequences, type Table } from "../data/index.js";
import { type ReadOptions, readTable } from "../data/read/index.js";
import type { CtcFusion } from "../decode/index.js";
import { type LoadedModel, languageFusion } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { predictorName, trainedConfig } from "./model-file.js";
import { printable } from "./printable.js";
import { decodingOf, searchSequences } from "./sequence-search.js";
import { alignColumns, figure, Terminal, type TerminalOptions } from "./terminal.js";

export interface TranscribeCommandOptions extends TerminalOptions {
  beam?: number;
  /** A language model or n-gram over the same tokens. */
  language?: string;
  weight?: number;
  insertionBonus?: number;
}

interface Transcription {
  file: string;
  text: string;
  /** Names of the tokens. */
  tokens: string[];
  /** Of the text given the sound, over all alignments, in nats; null where the predictor has none. */
  logProbability: number | null;
}

/** How much a language model's log-probability counts where nothing says so. */
const WEIGHT = 0.5;

export async function transcribeCommand(path: string, files: readonly string[], options: TranscribeCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { language, weight = WEIGHT, insertionBonus, json } = options;
  if (language === undefined && (options.weight !== undefined || insertionBonus !== undefined)) {
    throw new OstinatoError("OST_USAGE", {
      what: "there is no language model that could have a say",
      expected: "--language MODEL beside --weight and --insertion-bonus",
      where: "transcribe",
      repair: "name one, or leave them out",
    });
  }
  const loaded = await loadModel(path);
  const { header, preprocessing } = loaded;
  if (header.task !== "transcribe") {
    throw new OstinatoError("OST_CONFIG", {
      what: "the model does not transcribe",
      expected: "a model of task: transcribe",
      got: `task: ${header.task}`,
      where: path,
      repair: header.task === "translate" ? "use ostinato translate" : "use ostinato predict",
    });
  }
  const fusion: CtcFusion<unknown> | undefined =
    language === undefined
      ? undefined
      : {
          model: languageFusion(await loadModel(language), header.spec.classes),
          weight,
          ...(insertionBonus !== undefined && { insertionBonus }),
        };
  const decoding = decodingOf(loaded, { beam: options.beam, fusion });
  const read = header.provenance.config ? (trainedConfig(loaded, path).data.read as ReadOptions) : undefined;
  const made: Transcription[] = [];
  for (const file of files) {
    terminal.status(`  ${file}`);
    const prepared = await prepareRecording(loaded, file, read);
    for (const batch of batches(sequences(prepared, { part: "test" }), { batchSize: 1 })) {
      const [[{ tokens, logProbability }]] = searchSequences(loaded, batch, decoding, { fusion });
      made.push({
        file,
        text: preprocessing.decodeTarget(tokens),
        tokens: tokens.map((code) => header.spec.classes[code]),
        logProbability: Number.isFinite(logProbability) ? logProbability : null,
      });
    }
  }
  terminal.clear();
  if (json) {
    terminal.json({
      model: path,
      name: predictorName(loaded),
      decoding: { method: decoding.method, width: decoding.width },
      ...(fusion && { language: { model: language, weight, insertionBonus: insertionBonus ?? 0 } }),
      files: made,
    });
    return 0;
  }
  const rows = made.map(({ file, text, logProbability }) => [
    printable(file),
    logProbability === null ? "" : figure(logProbability),
    printable(text.replace(/\s+/g, " ")),
  ]);
  for (const line of alignColumns(rows, { right: [1] })) process.stdout.write(`${line}\n`);
  return 0;
}

/** One recording, read as those of training were, as one series. */
async function prepareRecording(
  { preprocessing }: LoadedModel,
  file: string,
  read: ReadOptions | undefined,
): Promise<PreparedData> {
  const { roles } = preprocessing;
  if (!/\.wav(\.gz)?$/i.test(file)) {
    throw new OstinatoError("OST_FORMAT", {
      what: "the name says no sound file",
      expected: ".wav",
      got: basename(file),
      where: file,
      repair: "convert it to WAV; for frames in a table use ostinato predict",
    });
  }
  const own = read && { ...read, pattern: null, label: null };
  const table = await readTable(file, { read: own, text: roles.entity === null ? [] : [roles.entity] });
  const named = withEntity(table, roles.entity, file);
  const prepared = applyPreprocessing(named, preprocessing, { target: "optional" });
  return { ...prepared, series: prepared.series.map((one) => ({ ...one, tokens: new Int32Array(0) })) };
}

/** The table with the file as the name of its series, where recordings of a folder had names of their own. */
function withEntity(table: Table, entity: string | null, file: string): Table {
  if (entity === null || table.columns.some(({ name }) => name === entity)) return table;
  const texts = new Array<string>(table.rows).fill(file);
  return { ...table, columns: [...table.columns, { name: entity, numbers: null, texts, verbatim: true }] };
}
