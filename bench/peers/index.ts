/** @file The systems we are compared with: what each can run, and how it is started. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { About } from "../turn.js";

export interface Peer {
  name: string;
  /** The workloads it runs: what we call them, and what it is sent. */
  workloads: Readonly<Record<string, string>>;
  command(threads: number): string[];
  env: Readonly<Record<string, string>>;
  /** Why what came up may not be compared with; null when it may. */
  objection?(about: About): string | null;
}

const TRAINING = ["W1", "W2", "W3", "W4"];
const STREAMING = ["W5gru", "W5lstm"];
const OFFLINE = ["W6a", "W6b"];

/**
 * @param root    PEERS_ROOT, as setup.sh fills it
 * @param options `node`: how to run a TypeScript file. `python`: a command that runs Python with PyTorch, in place of the one under the root.
 *                `avx2`: also PyTorch held to AVX2, for engines held to it.
 */
export function peersUnder(
  root: string,
  { node, python, avx2 = false }: { node: readonly string[]; python?: string; avx2?: boolean },
): Peer[] {
  const source = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const interpreter = python ? python.split(" ") : ["chroot", join(root, "trixie"), "python3"];
  const torch = (name: string, workloads: Peer["workloads"], env = {}, wanted?: string): Peer => ({
    name,
    workloads,
    command: (threads) => [...interpreter, "-c", readFileSync(source("torch.py"), "utf8"), String(threads)],
    env,
    objection: ({ isa }) => {
      if (wanted) return isa === wanted ? null : `it runs ${isa}, not ${wanted}`;
      return /^(default|no avx|unknown)$/i.test(isa)
        ? `it computes without vectors (${isa}): mount /proc and /sys in its tree`
        : null;
    },
  });
  const script = (name: string, workloads: string[], file: string, ...args: string[]): Peer => ({
    name,
    workloads: same(workloads),
    command: (threads) => [...node, source(file), ...args, String(threads)],
    env: { PEERS_ROOT: root },
  });
  const peers = [torch("torch", same([...TRAINING, ...STREAMING, ...OFFLINE]))];
  if (avx2) {
    const held = {
      ATEN_CPU_CAPABILITY: "avx2",
      DNNL_MAX_CPU_ISA: "AVX2",
      ONEDNN_MAX_CPU_ISA: "AVX2",
      OPENBLAS_CORETYPE: "Haswell",
    };
    peers.push(torch("torch-avx2", same([...TRAINING, ...STREAMING, ...OFFLINE]), held, "AVX2"));
  }
  peers.push(
    torch("torch-cells", Object.fromEntries(STREAMING.map((name) => [name, `cells:${name}`]))),
    script("onnxruntime-node", [...STREAMING, ...OFFLINE], "onnxruntime.ts", "node"),
    script("onnxruntime-web", [...STREAMING, ...OFFLINE], "onnxruntime.ts", "web"),
    script("tfjs-wasm", ["W1", "W4"], "tensorflow.ts"),
  );
  return peers;
}

/** Why the peers cannot be looked for at all; null when they can. */
export function objectionToRoot(root: string | undefined): string | null {
  if (!root) return "PEERS_ROOT is not set (bench/README.md says how to get them)";
  return existsSync(root) ? null : "PEERS_ROOT names a folder that is not there";
}

function same(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, name]));
}
