/**
 * The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, once for every vector width of this processor.
 *
 *     node test/sanitize/run.mjs
 *
 * Builds the addons anew with both sanitizers and runs `check.ts` on each: the conformance suite and drawn shapes, on one thread and on three, in
 * a memory where every array has poisoned walls. A fault planted on purpose has to be found first. Needs GCC with its sanitizer libraries on
 * Linux; without them it says so and exits with 77.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { buildNative, INSTRUCTION_SETS } from "../../kernels/native/build.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const compiler = process.env.CC || "cc";
const SKIPPED = 77;

function skip(reason) {
  console.log(`skipped: ${reason}`);
  process.exit(SKIPPED);
}

if (process.platform !== "linux") skip(`the sanitizers are set up for Linux, this is ${process.platform}`);
const version = spawnSync(compiler, ["--version"], { encoding: "utf8" });
if (version.status !== 0) skip(`no C compiler (${compiler})`);
if (/clang/i.test(version.stdout))
  skip(`${compiler} is clang, whose sanitizers cannot be loaded into a program that was built without`);
const library = (name) => spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" }).stdout.trim();
const preload = [library("libasan.so"), library("libubsan.so")];
if (!preload.every((path) => path.startsWith("/") && existsSync(path))) skip("the compiler has no libasan and libubsan");

const folder = mkdtempSync(join(tmpdir(), "ostinato-sanitize-"));
const started = performance.now();
let failures = 0;
try {
  // GCC 12 loses the bounds of an array that a condition chose; AddressSanitizer watches the same places.
  const undefinedToo = ["-fsanitize=address,undefined", "-fno-sanitize=object-size"];
  const sanitize = [...undefinedToo, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
  const flags = ["-O1", "-g1", ...sanitize, "-DOSTINATO_SANITIZED"];
  // An instruction set that shares its width with a lesser one adds units of its own.
  const { built, failed, reason } = await buildNative({ out: folder, flags });
  if (reason) throw new Error(reason);
  for (const one of failed) throw new Error(`${one.isa}: ${one.reason}`);
  console.log(`built ${built.join(", ")} in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const script = join(folder, "check.mjs");
  const conditions = ["ostinato-source", "node", "import"];
  await build({
    entryPoints: [join(here, "check.ts")],
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    conditions,
  });

  const run = (isa, ...args) =>
    spawnSync(process.execPath, [script, join(folder, `ostinato-${isa}.node`), ...args], {
      encoding: "utf8",
      env: {
        ...process.env,
        LD_PRELOAD: preload.join(" "),
        // The runtime keeps its memory to the end, and catches faults of its own.
        ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:abort_on_error=0:exitcode=99",
        UBSAN_OPTIONS: "print_stacktrace=1:exitcode=99",
      },
    });
  const sets = Object.keys(INSTRUCTION_SETS[process.arch]);
  const planted = run(sets[0], "--plant");
  if (planted.status !== 99 || !planted.stderr.includes("use-after-poison")) {
    console.error(`the planted fault was not found (exit code ${planted.status}):\n${planted.stdout}${planted.stderr}`);
    failures++;
  } else console.log("the planted fault was found");
  for (const isa of sets) {
    const from = performance.now();
    const { status, signal, stdout, stderr } = run(isa);
    const seconds = `${((performance.now() - from) / 1000).toFixed(0)} s`;
    if (status === 0) console.log(`${stdout.trim()} (${seconds})`);
    else if (stderr.includes("not a part of this processor")) console.log(`${isa}: skipped, not a part of this processor`);
    else {
      failures++;
      console.error(`${isa}: failed (${status ?? signal}, ${seconds})\n${stdout}${stderr.split("\n").slice(0, 60).join("\n")}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures > 0 ? 1 : 0;
