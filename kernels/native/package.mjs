/**
 * Makes the npm package that brings the native engine to one platform ready built: a folder for `npm pack` or `npm publish`.
 *
 *     node kernels/native/package.mjs [--out FOLDER]      default native/packages/native-<platform>-<arch>
 *
 * Run it on each platform that a release is for. The package holds the addons and nothing to execute at installation; the engine looks for it
 * by name and takes it only if it was built from the sources that the main package was. On Linux the name says when it is for musl, and the
 * addons run with every glibc that Node 20 runs with, however new the one here is: what they ask for is read from the files and checked.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { committedFingerprint, SOURCES } from "../fingerprint.mjs";
import { buildNative } from "./build.mjs";

const ROOT = join(SOURCES, "..");

/** The oldest glibc that Node 20 runs with. */
const OLDEST_GLIBC = [2, 28];

/** @returns {"glibc" | "musl" | null} of this process; null outside Linux. */
function libcHere() {
  if (process.platform !== "linux") return null;
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl";
}

/**
 * @param {{ out?: string }} [options]
 * @returns {Promise<{ name: string, folder: string, files: string[] }>}
 * @throws Error if anything could not be built, or would not run where the package says it does.
 */
export async function makePackage({ out } = {}) {
  const { version, license, engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const libc = libcHere();
  const short = `native-${process.platform}-${process.arch}${libc === "musl" ? "-musl" : ""}`;
  const folder = out ?? join(ROOT, "native/packages", short);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const flags = libc === "glibc" ? ["-include", join(SOURCES, "native/old-glibc.h")] : [];
  const link = process.platform === "darwin" ? [] : ["-Wl,-s"];
  const fingerprint = committedFingerprint();
  const { reason, failed } = await buildNative({ out: folder, flags, link, fingerprint });
  if (reason) throw new Error(reason);
  if (failed.length > 0) throw new Error(`${failed[0].isa}: ${failed[0].reason}`);
  const files = readdirSync(folder).filter((name) => name.endsWith(".node"));
  if (libc === "glibc") for (const name of files) wantOldGlibc(name, readFileSync(join(folder, name), "latin1"));

  const name = `@ostinato/${short}`;
  const manifest = {
    name,
    version,
    description: `The native engine of ostinato, built for ${process.platform} on ${process.arch}.`,
    license,
    engines,
    os: [process.platform],
    cpu: [process.arch],
    ...(libc ? { libc: [libc] } : {}),
    files: ["*.node"],
    fingerprint,
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(join(folder, "README.md"), readme(name, files));
  copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  return { name, folder, files };
}

function wantOldGlibc(name, text) {
  const asked = [...text.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [Number(major), Number(minor)]);
  const newer = asked.find(([major, minor]) => major > OLDEST_GLIBC[0] || minor > OLDEST_GLIBC[1]);
  if (newer) throw new Error(`${name} asks for glibc ${newer.join(".")}, and Node 20 runs with ${OLDEST_GLIBC.join(".")}`);
}

function readme(name, files) {
  return `# ${name}

The native engine of [ostinato](https://www.npmjs.com/package/ostinato) for this platform: C kernels, built once per instruction set.

${files.map((file) => `- \`${file}\``).join("\n")}

\`ostinato\` finds it when both are installed in the same version, and takes the best file for the processor. \`ostinato inspect --engine\`
shows which, or why none. There is nothing to import and nothing runs at installation.
`;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf("--out");
  const { name, folder, files } = await makePackage(at > 0 ? { out: process.argv[at + 1] } : {});
  console.log(`${name}: ${files.join(", ")}\n${folder}`);
}
