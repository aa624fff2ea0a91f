/** @file Opens a model file from disk. */
import { readFile } from "node:fs/promises";
import { OstinatoError } from "../core/errors.js";
import { type LoadedModel, type OpenModelOptions, openModel } from "./load.js";

/** As `openModel`. @throws OST_FILE if it cannot be read. @throws OST_MODEL_FILE if it is malformed. */
export async function loadModel(path: string, options: OpenModelOptions = {}): Promise<LoadedModel> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? "there is no such model file" : `the model file cannot be read (${code})`;
    throw new OstinatoError(
      "OST_FILE",
      { what, where: path, repair: "check the path; ostinato runs lists the models there are" },
      { cause },
    );
  }
  try {
    return await openModel(bytes, options);
  } catch (cause) {
    if (!(cause instanceof OstinatoError)) throw cause;
    const where = cause.detail.where ? `${path}: ${cause.detail.where}` : path;
    throw new OstinatoError(cause.code, { ...cause.detail, where }, { cause });
  }
}
