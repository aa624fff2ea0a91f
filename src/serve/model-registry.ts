/**
 * @file Which models are served, under which names, and which versions are kept for the sessions that are pinned to them.
 *
 * A version lives as long as a name stands for it or a session is pinned to it. A copy of its file lies in the registry's folder before the
 * first session can begin on it, and is deleted after the last one has gone, so that a restart finds every version that its sessions need.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { OstinatoError } from "../core/errors.js";
import type { WeightType } from "../kernels/index.js";
import type { Engine, ModelSource, ModelVersion, SwapPolicy } from "./engine.js";
import { checkModel } from "./model-check.js";
import { openVersion, versionId } from "./model-version.js";
import type { Observer } from "./observer.js";
import type { ServedModel } from "./sessions.js";

export interface ModelRegistryOptions {
  engine: Engine;
  /** Where copies of model files are kept; null with a store that keeps nothing either. */
  folder: string | null;
  /** Opens a source for the first time; default: files in a thread with limits, by `checkModel`. */
  check?: (source: ModelSource) => Promise<ModelVersion>;
  /** A version that nobody uses is kept so long, for what was asked of it and has not begun. Default 60 s. */
  keepUnusedMs?: number;
  /** A clock in ms that never goes back. Default `performance.now`. */
  now?: () => number;
  observer?: Pick<Observer, "model">;
}

export interface SwapOptions {
  /** What sessions of the name do that are on another version. Default "pin". */
  policy?: SwapPolicy;
  /** Who asked, for the audit log. */
  actor: string;
}

interface Known {
  facts: ModelVersion;
  /** Names it stands for or has stood for. */
  names: Set<string>;
  /** Since when nobody was seen to use it; null while somebody does. */
  unusedSince: number | null;
}

/** What lies beside a copy: how to open it, and what it was served as. */
interface KeptFacts {
  weights: WeightType;
  batchInvariant: boolean;
  names: readonly string[];
}

const VERSION_FILE = /^([0-9a-f]{64})\.(?:safetensors|json)$/;
const LONGEST_NAME = 100;

export class ModelRegistry {
  readonly #engine: Engine;
  readonly #folder: string | null;
  readonly #check: (source: ModelSource) => Promise<ModelVersion>;
  readonly #keepUnusedMs: number;
  readonly #now: () => number;
  readonly #observer: Pick<Observer, "model"> | undefined;
  readonly #versions = new Map<string, Known>();
  readonly #names = new Map<string, string>();
  readonly #missing: string[] = [];
  /** Changes run one after another. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(options: ModelRegistryOptions) {
    this.#engine = options.engine;
    this.#folder = options.folder;
    this.#check = options.check ?? firstLook;
    this.#keepUnusedMs = options.keepUnusedMs ?? 60_000;
    this.#now = options.now ?? (() => performance.now());
    this.#observer = options.observer;
  }

  /** Loads the versions that sessions of the engine's store are pinned to. @throws OST_FILE if the folder cannot be read or written. */
  static async open(options: ModelRegistryOptions): Promise<ModelRegistry> {
    const registry = new ModelRegistry(options);
    await registry.#recover();
    return registry;
  }

  /** Versions that sessions are pinned to and whose files are gone or damaged: steps of those sessions are refused with OST_VERSION. */
  get missing(): readonly string[] {
    return this.#missing.filter((version) => !this.#versions.has(version));
  }

  list(): ServedModel[] {
    return [...this.#names.keys()].map((name) => this.model(name));
  }

  /** @throws OST_MODEL if no model is served under the name. */
  model(name: string): ServedModel {
    const current = this.#names.get(name);
    if (current === undefined) {
      throw new OstinatoError("OST_MODEL", {
        what: "no such model",
        expected: [...this.#names.keys()].join(", ") || "a model; none is loaded",
        got: `"${name.slice(0, LONGEST_NAME)}"`,
      });
    }
    const others = [...this.#versions].filter(([version, { names }]) => version !== current && names.has(name));
    return { name, current: this.#known(current).facts, others: others.map(([, { facts }]) => facts) };
  }

  /** Checks a model and serves it under a name, new or in use. @throws OST_VERSION for `carry` to another state schema; as `checkModel`. */
  load(name: string, source: ModelSource, { policy = "pin", actor }: SwapOptions): Promise<ModelVersion> {
    checkName(name);
    return this.#alone(async () => {
      const checked = await this.#check(source);
      const { version, batchInvariant } = checked;
      const isNew = !this.#versions.has(version);
      if (isNew) {
        await this.#keep(checked, source, [name]);
        try {
          // The engine does not try it out again: that would hold up its sessions.
          const facts = { ...(await this.#engine.load(source)), batchInvariant };
          this.#versions.set(version, { facts, names: new Set([name]), unusedSince: this.#now() });
        } catch (error) {
          await this.#forget(version);
          throw error;
        }
        this.#observer?.model?.("loaded", { name, version, actor });
      }
      try {
        await this.#route(name, version, { policy, actor });
      } catch (error) {
        if (isNew) await this.#unload(version, actor).catch(() => {});
        throw error;
      }
      return this.#known(version).facts;
    });
  }

  /** Serves a loaded version under a name too. @throws OST_VERSION if it is not loaded, or cannot carry the name's sessions on. */
  alias(name: string, version: string, { policy = "pin", actor }: SwapOptions): Promise<void> {
    checkName(name);
    return this.#alone(() => this.#route(name, version, { policy, actor }));
  }

  /** @throws OST_VERSION while a name stands for it or a session is pinned to it. */
  unload(version: string, { actor }: { actor: string }): Promise<void> {
    return this.#alone(() => this.#unload(version, actor));
  }

  /** Unloads versions that nobody has used for a while. Called every few seconds. */
  tend(): Promise<void> {
    return this.#alone(async () => {
      const { byVersion } = (await this.#engine.status()).sessions;
      const current = new Set(this.#names.values());
      for (const [version, known] of this.#versions) {
        const used = current.has(version) || (byVersion[version] ?? 0) > 0;
        known.unusedSince = used ? null : (known.unusedSince ?? this.#now());
        if (known.unusedSince === null || this.#now() - known.unusedSince < this.#keepUnusedMs) continue;
        await this.#unload(version, "server").catch((error) => {
          if (!(error instanceof OstinatoError && error.code === "OST_VERSION")) throw error;
        });
      }
    });
  }

  async #route(name: string, version: string, { policy, actor }: Required<SwapOptions>): Promise<void> {
    const known = this.#known(version);
    const before = this.#names.get(name);
    if (!known.names.has(name)) {
      await this.#keepFacts(version, [...known.names, name]);
      known.names.add(name);
    }
    await this.#engine.route(name, { version, policy });
    this.#names.set(name, version);
    known.unusedSince = null;
    if (before !== undefined && before !== version) this.#observer?.model?.("swapped", { name, version, policy, actor });
  }

  async #unload(version: string, actor: string): Promise<void> {
    const { names } = this.#known(version);
    await this.#engine.unload(version);
    this.#versions.delete(version);
    await this.#forget(version);
    for (const name of names) this.#observer?.model?.("unloaded", { name, version, actor });
  }

  #known(version: string): Known {
    const known = this.#versions.get(version);
    if (known) return known;
    throw new OstinatoError("OST_VERSION", {
      what: "this version is not loaded",
      expected: [...this.#versions.keys()].map((one) => one.slice(0, 12)).join(", ") || "a loaded version; there is none",
      got: version.slice(0, 12),
    });
  }

  async #recover(): Promise<void> {
    const { byVersion } = (await this.#engine.status()).sessions;
    const pinned = new Set(Object.keys(byVersion).filter((version) => byVersion[version] > 0));
    if (this.#folder !== null) {
      const names = await inFolder(this.#folder, async (folder) => {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        return readdir(folder);
      });
      for (const version of new Set(names.map((name) => VERSION_FILE.exec(name)?.[1]))) {
        if (version === undefined) continue;
        if (pinned.has(version)) await this.#reload(version);
        else await this.#forget(version);
      }
    }
    this.#missing.push(...[...pinned].filter((version) => !this.#versions.has(version)));
  }

  /** A copy was checked before it was kept; it has only to be the same still. */
  async #reload(version: string): Promise<void> {
    const [file, facts] = this.#paths(version);
    let bytes: Uint8Array;
    let kept: KeptFacts;
    try {
      bytes = await readFile(file);
      kept = JSON.parse(await readFile(facts, "utf8"));
    } catch {
      return;
    }
    const hash = createHash("sha256").update(bytes).digest("hex");
    if (versionId(hash, kept.weights) !== version) return;
    const { weights, batchInvariant } = kept;
    const loaded = await this.#engine.load({ bytes, weights });
    this.#versions.set(version, { facts: { ...loaded, batchInvariant }, names: new Set(kept.names), unusedSince: null });
  }

  async #keep({ version, batchInvariant }: ModelVersion, source: ModelSource, names: readonly string[]): Promise<void> {
    if (!("bytes" in source) || this.#folder === null) return;
    const [file, facts] = this.#paths(version);
    await inFolder(this.#folder, async () => {
      await writeWhole(file, source.bytes);
      await writeWhole(
        facts,
        JSON.stringify({ weights: source.weights ?? "float32", batchInvariant, names } satisfies KeptFacts),
      );
    });
  }

  async #keepFacts(version: string, names: readonly string[]): Promise<void> {
    if (this.#folder === null) return;
    const [, facts] = this.#paths(version);
    await inFolder(this.#folder, async () => {
      const kept = await readFile(facts, "utf8").catch(() => null);
      if (kept !== null) await writeWhole(facts, JSON.stringify({ ...JSON.parse(kept), names }));
    });
  }

  async #forget(version: string): Promise<void> {
    if (this.#folder === null) return;
    for (const path of this.#paths(version)) await inFolder(path, () => rm(path, { force: true }));
  }

  #paths(version: string): [file: string, facts: string] {
    return [join(this.#folder as string, `${version}.safetensors`), join(this.#folder as string, `${version}.json`)];
  }

  #alone<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(act);
    this.#tail = result.catch(() => {});
    return result;
  }
}

async function firstLook(source: ModelSource): Promise<ModelVersion> {
  return "bytes" in source ? checkModel(source) : (await openVersion(source, { tryBatches: true })).facts;
}

/** Names are parts of session keys and of paths. @throws OST_RANGE. */
function checkName(name: string): void {
  if (name.length >= 1 && name.length <= LONGEST_NAME && !/[\p{Cc}\p{Surrogate}/]/u.test(name)) return;
  throw new OstinatoError("OST_RANGE", {
    what: "a name that a model cannot have",
    expected: `1 to ${LONGEST_NAME} characters, no "/" and no control characters`,
    got: JSON.stringify(name.slice(0, LONGEST_NAME)),
    where: "model name",
  });
}

async function inFolder<T>(folder: string, act: (folder: string) => Promise<T>): Promise<T> {
  try {
    return await act(folder);
  } catch (cause) {
    const what = `copies of model files cannot be kept (${(cause as NodeJS.ErrnoException).code ?? cause})`;
    throw new OstinatoError("OST_FILE", { what, where: folder, repair: "check the folder's rights and room" }, { cause });
  }
}

/** Whole or not at all, and there after a power cut: sessions will depend on it. */
async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, "w", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  await syncFolder(join(path, ".."));
}

/** Not every system lets a folder be opened; where it does not, renaming is durable by itself or not at all. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => null);
  if (folder === null) return;
  try {
    await folder.sync();
  } catch {
  } finally {
    await folder.close();
  }
}
