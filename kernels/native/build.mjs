/**
 * Compiles the kernels to Node addons with the system's C compiler: one file per instruction set of this processor's family.
 *
 *     node kernels/native/build.mjs [--out FOLDER] [--isa NAME,NAME] [--force] [--prepare]
 *
 * Needs `cc` (or what CC names): GCC 9 or clang 11 and later, with the headers of the C library; no root, no network, no other package. Units are
 * compiled at the same time on all cores, and what is up to date (same sources, flags and compiler) is left as it is. Files:
 * ostinato-<isa>.node, or not-built.txt with the reason in one line.
 *
 * By hand it is the command of who works on the kernels: it also notes the fingerprint of the sources beside the WebAssembly modules, so that
 * this checkout takes the addons. `--prepare` is for `npm ci`: nothing committed is touched, and the exit code is 0 in any case.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import {
  committedFingerprint,
  FINGERPRINT_MODULE,
  fingerprintModule,
  fingerprintOf,
  readSources,
  SOURCES,
} from "../fingerprint.mjs";

const AVX512 = ["avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"];

/**
 * Instruction sets by processor family, slowest first: floats in a vector, what the processor must have, further flags. Units that do not look
 * at `macro` are those of `base`.
 */
export const INSTRUCTION_SETS = {
  x64: {
    "x86-64": { width: 4, features: [], flags: ["-march=x86-64"] },
    avx2: { width: 8, features: ["avx2", "fma"], flags: ["-mprefer-vector-width=256"] },
    avx512: { width: 16, features: AVX512, flags: ["-mprefer-vector-width=512"] },
    avx512vnni: {
      width: 16,
      features: [...AVX512, "avx512vnni"],
      flags: ["-mprefer-vector-width=512"],
      base: "avx512",
      macro: "__AVX512VNNI__",
    },
  },
  arm64: { neon: { width: 4, features: [], flags: [] } },
};

/* No -ffast-math: it assumes that no value is NaN. Contraction is off because every multiply-add is written out. */
const FLAGS =
  "-std=gnu99 -O3 -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Wno-psabi".split(
    " ",
  );
const LINK = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : ["-pthread", "-Wl,-z,nodelete"];

/** What stands in the folder where nothing could be built. */
export const OUTCOME = "not-built.txt";

/**
 * @typedef {object} NativeBuild
 * @property {string} folder where the addons are.
 * @property {string[]} built the instruction sets that were compiled now.
 * @property {string[]} upToDate those that needed nothing.
 * @property {{ isa: string, reason: string }[]} failed those that this compiler could not build.
 * @property {string} [reason] why there is no addon at all, in one line.
 * @property {string} [repair] what helps against it.
 * @property {string} [compiler] its first line about itself.
 * @property {string} fingerprint of the sources.
 * @property {number} seconds
 */

/**
 * @param {object} [options]
 * @param {string} [options.out] the folder of the addons.
 * @param {string} [options.compiler] a command, may have arguments.
 * @param {string[]} [options.isas] these instead of all.
 * @param {string[]} [options.flags] added to those of every unit.
 * @param {string[]} [options.link] added where the addon is linked.
 * @param {string} [options.fingerprint] of the sources that the caller goes with; others are not built.
 * @param {string} [options.objects] keeps what was compiled in this folder, for the next time.
 * @param {boolean} [options.force] builds what is up to date too.
 * @returns {Promise<NativeBuild>}
 * @throws what the file system throws where `out` cannot be written.
 */
export async function buildNative({ out = defaultFolder(), isas, objects, force = false, ...options } = {}) {
  const { compiler: command = process.env.CC || "cc", flags = [], link = [] } = options;
  const started = performance.now();
  const sources = readSources();
  const result = { folder: out, built: [], upToDate: [], failed: [], fingerprint: fingerprintOf(sources) };
  const done = (facts = {}) => {
    Object.assign(result, facts, { seconds: (performance.now() - started) / 1000 });
    noteOutcome(result);
    return result;
  };
  mkdirSync(out, { recursive: true });
  const sets = INSTRUCTION_SETS[process.arch];
  if (sets === undefined || process.platform === "win32") {
    const repair = "go on with the WebAssembly engine, which needs nothing";
    return done({ reason: `there are no native kernels for ${process.platform}-${process.arch}`, repair });
  }
  if (options.fingerprint !== undefined && options.fingerprint !== result.fingerprint) {
    const repair = "node kernels/build.mjs in the repository; elsewhere, install the package anew";
    return done({ reason: "kernels/ holds other sources than the rest of the package was built with", repair });
  }
  const compiler = findCompiler(command);
  if (compiler === null) {
    const repair = "install gcc 9 or clang 11, or later, and the C library's headers, then: ostinato build-native";
    return done({ reason: `no C compiler found (\`${command}\`)`, repair });
  }
  result.compiler = compiler.version.split("\n")[0].trim();

  const plans = Object.keys(sets)
    .filter((isa) => isas === undefined || isas.includes(isa))
    .map((isa) => plan(isa, { sets, sources, compiler, fingerprint: result.fingerprint, flags, link }));
  const wanted = plans.filter(({ isa, stamp }) => {
    const file = addonFile(out, isa);
    const current = !force && existsSync(file) && readFileSync(file).includes(`ostinato-build:${stamp}`);
    if (current) result.upToDate.push(isa);
    return !current;
  });
  if (wanted.length === 0) return done();

  const work = mkdtempSync(join(tmpdir(), "ostinato-native-"));
  try {
    // From a copy, so that an edit meanwhile does not mix two states of the sources.
    for (const [path, text] of sources) {
      mkdirSync(dirname(join(work, "kernels", path)), { recursive: true });
      writeFileSync(join(work, "kernels", path), text);
    }
    const folder = objects ?? join(work, "objects");
    mkdirSync(folder, { recursive: true });
    const compiled = await compileUnits(wanted, { compiler, folder, force, from: join(work, "kernels") });
    await inParallel(wanted, async ({ isa, units }) => {
      const parts = units.map(({ key }) => compiled.get(key));
      let { fault } = parts.find((one) => one.fault !== null) ?? { fault: null };
      if (fault === null) {
        const file = addonFile(out, isa);
        const fresh = `${file}.${process.pid}.new`;
        const given = [...parts.map(({ object }) => object), "-o", fresh];
        fault = await runCommand(compiler, ["-shared", ...flags, ...given, ...LINK, ...link]);
        // Renamed into place: a process that has the old file open keeps it.
        if (fault === null) renameSync(fresh, file);
        else rmSync(fresh, { force: true });
      }
      if (fault === null) result.built.push(isa);
      else result.failed.push({ isa, reason: fault.replaceAll(join(work, "kernels"), "kernels") });
    });
    if (objects !== undefined) dropOld(folder, new Set([...compiled.values()].map(({ object }) => object)));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  result.built = Object.keys(sets).filter((isa) => result.built.includes(isa));
  const none = result.built.length + result.upToDate.length === 0;
  const repair = "try another compiler: CC=clang ostinato build-native";
  return done(none ? { reason: `\`${command}\` could not compile the kernels`, repair } : {});
}

const addonFile = (folder, isa) => join(folder, `ostinato-${isa}.node`);

/** The command split into words, and what it says of itself; null if it does not run. */
function findCompiler(command) {
  const words = command.trim().split(/\s+/);
  const { status, stdout } = spawnSync(words[0], [...words.slice(1), "--version"], { encoding: "utf8" });
  return status === 0 ? { words, version: stdout } : null;
}

/**
 * What an addon is made of: each unit with its flags, and a key that names what the compiler gives for it, so that addons share objects. The
 * stamp names all of it.
 */
function plan(isa, { sets, sources, compiler, fingerprint, flags, link }) {
  const flagsOf = ({ width, features, flags: own }) => [
    `-DVECTOR_WIDTH=${width}`,
    ...features.map((feature) => `-m${feature}`),
    ...own,
  ];
  const { base, macro, features } = sets[isa];
  const stamp = hashOf([compiler, fingerprint, FLAGS, flagsOf(sets[isa]), LINK, flags, link]);
  const names = [`-DOSTINATO_ISA=${isa}`, `-DOSTINATO_FINGERPRINT=${fingerprint}`, `-DOSTINATO_BUILD=${stamp}`];
  const needs = `-DOSTINATO_NEEDS=${features.map((feature) => `HAS(${feature})`).join(" ")}`;
  const units = [...sources.keys()]
    .filter((path) => path.endsWith(".c"))
    .map((unit) => {
      const text = textWithHeaders(unit, sources);
      const set = base !== undefined && !text.includes(macro) ? sets[base] : sets[isa];
      const all = [...FLAGS, ...(unit === "native/addon.c" ? [...names, needs] : flagsOf(set)), ...flags];
      return { unit, flags: all, size: text.length, key: hashOf([compiler, all, unit, text]) };
    });
  return { isa, stamp, units };
}

/** Compiles what the addons are made of, each object once, all cores at work. @returns for each key the object, or why there is none. */
async function compileUnits(plans, { compiler, folder, force, from }) {
  const jobs = new Map(plans.flatMap(({ units }) => units.map((one) => [one.key, one])));
  const compiled = new Map();
  const missing = [...jobs.values()].filter(({ unit, key }) => force || !existsSync(objectFile(folder, unit, key)));
  const headers = await precompileHeader(missing, { compiler, from });
  // The longest units first, so that no core waits for them at the end.
  await inParallel(
    [...jobs.values()].sort((a, b) => b.size - a.size),
    async ({ key, unit, flags }) => {
      const object = objectFile(folder, unit, key);
      compiled.set(key, { object, fault: null });
      if (!force && existsSync(object)) return;
      const fresh = `${object}.${process.pid}`;
      const include = headers.get(flags.join(" ")) ?? [];
      const fault = await runCommand(compiler, [...flags, ...include, "-c", join(from, unit), "-o", fresh]);
      if (fault === null) renameSync(fresh, object);
      else {
        rmSync(fresh, { force: true });
        compiled.set(key, { object, fault });
      }
    },
  );
  return compiled;
}

/** Beside this package: where the engine looks for addons that were built here. */
export function defaultFolder() {
  return join(SOURCES, "../native", `${process.platform}-${process.arch}`);
}

const objectFile = (folder, unit, key) => join(folder, `${basename(unit, ".c")}-${key}.o`);

/**
 * GCC takes longer to read the header of x86 intrinsics than to compile most units, so it reads it once for all units with the same flags.
 *
 * @returns by flags, what to add to them.
 */
async function precompileHeader(units, { compiler, from }) {
  const headers = new Map();
  if (process.arch !== "x64" || /clang/i.test(compiler.version)) return headers;
  // It has to be the first that a unit includes.
  units = units.filter(({ flags }) => !flags.includes("-include"));
  const counts = new Map();
  for (const { flags } of units) counts.set(flags.join(" "), { flags, count: (counts.get(flags.join(" "))?.count ?? 0) + 1 });
  const shared = [...counts.values()].filter(({ count }) => count > 2);
  await inParallel(shared, async ({ flags }) => {
    const header = join(from, hashOf(flags), "intrinsics.h");
    mkdirSync(dirname(header));
    writeFileSync(header, "#include <immintrin.h>\n");
    const fault = await runCommand(compiler, [...flags, "-x", "c-header", header, "-o", `${header}.gch`]);
    if (fault === null) headers.set(flags.join(" "), ["-include", header]);
  });
  return headers;
}

function noteOutcome({ folder, reason }) {
  const path = join(folder, OUTCOME);
  const there = readdirSync(folder).some((name) => name.endsWith(".node"));
  if (reason === undefined || there) rmSync(path, { force: true });
  else writeFileSync(path, `${reason}\n`);
}

/** Removes objects that were not used now and are a day old: those of sources that are no more. */
function dropOld(folder, used) {
  for (const path of readdirSync(folder).map((name) => join(folder, name))) {
    const found = used.has(path) ? undefined : statSync(path, { throwIfNoEntry: false });
    if (found && Date.now() - found.mtimeMs > 86_400_000) rmSync(path, { force: true });
  }
}

/** The text of a unit and of every header it includes. */
function textWithHeaders(path, sources, seen = new Set()) {
  if (seen.has(path)) return "";
  seen.add(path);
  const text = sources.get(path) ?? "";
  const included = [...text.matchAll(/^\s*#include "([^"]+)"/gm)].map(([, name]) => posix.join(posix.dirname(path), name));
  return [text, ...included.map((header) => textWithHeaders(header, sources, seen))].join("\n");
}

function hashOf(values) {
  return `b${createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 16)}`;
}

/** Null, or the beginning of what the command said when it failed. */
function runCommand({ words: [command, ...first] }, args) {
  return new Promise((resolve) => {
    const child = spawn(command, [...first, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) =>
      resolve(code === 0 ? null : said.split("\n").slice(0, 12).join("\n").trim() || `exit code ${code}`),
    );
  });
}

/** As many at a time as there are processors for this process. */
async function inParallel(items, work) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function main(args) {
  const given = (flag) => (args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined);
  const prepare = args.includes("--prepare");
  const out = given("--out");
  const isas = given("--isa")?.split(",");
  const committed = committedFingerprint();
  let result;
  try {
    const expected = prepare ? committed : undefined;
    const objects = out === undefined ? join(defaultFolder(), "objects") : undefined;
    result = await buildNative({ out, isas, objects, fingerprint: expected, force: args.includes("--force") });
  } catch (error) {
    result = { built: [], upToDate: [], failed: [], reason: error instanceof Error ? error.message : String(error) };
  }
  const { built, upToDate, failed, reason, repair, fingerprint, folder, seconds } = result;
  if (built.length > 0)
    console.log(`native engine: ${built.join(", ")} built in ${seconds.toFixed(1)} s, ${relative(".", folder) || "."}`);
  else if (upToDate.length > 0) console.log(`native engine: up to date (${upToDate.join(", ")})`);
  for (const one of failed) console.error(`native engine: ${one.isa} was not built: ${one.reason}`);
  if (reason) console.error(`native engine: not built, the WebAssembly engine is used: ${reason}`);
  if (repair) console.error(`  repair: ${repair}`);
  if (reason === undefined && !prepare && committed !== undefined && committed !== fingerprint) {
    writeFileSync(FINGERPRINT_MODULE, fingerprintModule(fingerprint));
    console.log(`native engine: noted that the sources are now ${fingerprint}; the WebAssembly modules are older`);
  }
  process.exitCode = reason === undefined || prepare ? 0 : 1;
}

const invoked = process.argv[1];
if (invoked && statSync(invoked, { throwIfNoEntry: false }) && realpathSync(invoked) === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2));
}
