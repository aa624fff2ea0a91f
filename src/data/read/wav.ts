/**
 * @file Recordings: a row per frame of a WAV file, with the columns `frame` (its number from 0) and one per feature.
 */
import { OstinatoError } from "../../core/errors.js";
import type { FrameStream } from "../audio/frame-stream.js";
import { audioFrames, recordingRows } from "../audio/recording.js";
import { decodeWav, type Wav } from "../audio/wav.js";
import type { TableChunk } from "../table.js";
import { type BytesOptions, readBytes } from "./bytes.js";
import { type ReadOptions, type RecordingOptions, resolveRead } from "./options.js";
import type { Sheet } from "./sheet.js";
import { type DataFiles, sourceFiles } from "./source-file.js";
import { taken } from "./text-reader.js";

/** The features of all recordings of one reading: they have one sample rate, the one asked for or that of the first. */
export class Recordings {
  readonly #options: RecordingOptions;
  #stream: FrameStream | null = null;

  constructor(options: RecordingOptions | null) {
    this.#options = options ?? { features: "logMel" };
  }

  /** @param firstHz the sample rate of the first recording. */
  stream(firstHz: number): FrameStream {
    const { sampleRateHz = firstHz, ...features } = this.#options;
    return (this.#stream ??= audioFrames(features, sampleRateHz));
  }
}

/** The sample rate of the first recording among the files that can be read; null where there is none. */
export async function sampleRateOf(files: DataFiles, options?: ReadOptions): Promise<number | null> {
  const { files: found } = await sourceFiles(files, resolveRead(options));
  for (const { format, path, name } of found) {
    if (format !== "wav") continue;
    try {
      return (await readRecording(path, name, { blockBytes: 1 << 20 })).sampleRateHz;
    } catch (error) {
      if (!(error instanceof OstinatoError)) throw error;
    }
  }
  return null;
}

async function readRecording(path: string, source: string, options: BytesOptions): Promise<Wav> {
  const blocks: Buffer[] = [];
  for await (const block of readBytes(path, options)) blocks.push(block);
  return decodeWav(Buffer.concat(blocks), source);
}

/** @throws OST_FORMAT if the file is no WAV file, has another sample rate than the first, or is shorter than a frame. */
export async function* readWav(
  path: string,
  sheet: Sheet,
  recordings: Recordings,
  options: BytesOptions,
): AsyncGenerator<TableChunk> {
  let rows: Float32Array;
  let stream: FrameStream;
  try {
    const wav = await readRecording(path, sheet.source, options);
    stream = recordings.stream(wav.sampleRateHz);
    rows = recordingRows(wav, stream, sheet.source);
    if (rows.length === 0) throw tooShort(sheet.source, wav.samples[0]?.length ?? 0, stream);
  } catch (error) {
    if (!(error instanceof OstinatoError) || error.code === "OST_RANGE") throw error;
    sheet.bad(error);
    yield* taken(sheet);
    return;
  }
  const { width, names } = stream;
  sheet.addColumns(["frame", ...names]);
  for (let frame = 0; frame * width < rows.length; frame++) {
    sheet.row([frame, ...rows.subarray(frame * width, (frame + 1) * width)], 8 * width);
    if (sheet.full) yield* taken(sheet);
  }
  yield* taken(sheet);
}

function tooShort(source: string, samples: number, { setup }: FrameStream): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "the recording is shorter than a frame",
    expected: `at least ${setup.frameLength} samples (${setup.frameMs} ms)`,
    got: `${samples}`,
    where: source,
    repair: "leave the file out, or set data.read.bad: skip to have it left out and counted",
  });
}
