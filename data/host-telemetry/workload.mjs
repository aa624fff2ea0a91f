/**
 * @file One labelled load on this machine: `node workload.mjs <label> <intensity 0..1> <seed> <folder>`.
 *
 * Started by `record-dataset.ts` as the leader of a process group; it runs until that group is terminated, until its standard input
 * closes (the recorder died), or for 60 seconds. It only touches the given folder, 127.0.0.1, and memory of its own.
 */
import { spawn } from "node:child_process";
import { closeSync, fsyncSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createServer, connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const [label, intensityText, seedText, folder] = process.argv.slice(2);
const intensity = Number(intensityText);
let state = Number(seedText) >>> 0;

/** Uniform in [low, high): splitmix32, so that a seed gives one load. */
function uniform(low, high) {
  state = (state + 0x9e3779b9) >>> 0;
  let z = state;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return low + (high - low) * (((z ^ (z >>> 15)) >>> 0) / 2 ** 32);
}
const integer = (low, high) => Math.floor(uniform(low, high + 1));
const oneOf = (choices) => choices[integer(0, choices.length - 1)];

/** Resolves when the program ends, whatever its exit status. */
function run(program, args) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: "ignore" });
    child.on("exit", resolve);
    child.on("error", resolve);
  });
}

/** A C source of that many small numeric functions that call one another, no two sources alike. */
function cSource(functions) {
  const lines = ["#include <math.h>", "#include <stdlib.h>", "#include <string.h>"];
  for (let index = 0; index < functions; index++) {
    const callee = index > 0 ? `f${integer(0, index - 1)}(x, n - 1)` : "x";
    lines.push(
      `double f${index}(double x, int n) {`,
      `  double table[${integer(8, 64)}]; memset(table, 0, sizeof table);`,
      `  const int size = sizeof table / sizeof *table;`,
      `  if (n <= 0) return x;`,
      `  for (int i = 0; i < size; i++) for (int j = 0; j < ${integer(4, 32)}; j++)`,
      `    table[(i * ${integer(2, 9)} + j) % size] += ${oneOf(["sin", "cos", "exp", "sqrt"])}(x * ${uniform(0.1, 3).toFixed(3)} + i) * j;`,
      `  switch (n & 7) { case 0: x += table[0]; break; case ${integer(1, 3)}: x *= table[1]; break; case 5: x -= table[n % size]; break; default: x += 1; }`,
      `  return x + table[n % size] * ${callee};`,
      `}`,
    );
  }
  return lines.join("\n");
}

const loads = {
  /** gcc over generated sources: one or two at a time, with pauses at low intensity. */
  async compile() {
    const worker = async (lane) => {
      const source = join(folder, `unit-${lane}.c`);
      for (;;) {
        writeFileSync(source, cSource(integer(4, 60)));
        await run("gcc", [oneOf(["-O1", "-O2", "-O2", "-O3"]), "-c", source, "-o", join(folder, `unit-${lane}.o`)]);
        await sleep(uniform(0, 600) * (1 - intensity));
      }
    };
    await Promise.all(Array.from({ length: intensity > 0.5 ? 2 : 1 }, (_, lane) => worker(lane)));
  },

  /** gzip and xz over the recorder's mixed text and random file, output thrown away. */
  async compress() {
    const worker = async () => {
      for (;;) {
        const level = `-${integer(1, 6)}`;
        await run("sh", ["-c", `${oneOf(["gzip", "gzip", "xz"])} ${level} -c "$0" > /dev/null`, join(folder, "..", "mixed.bin")]);
        await sleep(uniform(0, 500) * (1 - intensity));
      }
    };
    await Promise.all(Array.from({ length: intensity > 0.5 ? 2 : 1 }, worker));
  },

  /** Files of random size written, synced and deleted; at most about 60 MB/s. */
  async diskWrite() {
    const block = Buffer.alloc(1 << 20);
    for (let index = 0; index < block.length; index += 4) block.writeUInt32LE(Math.floor(uniform(0, 2 ** 32)), index);
    for (let number = 0; ; number++) {
      const path = join(folder, `file-${number}.bin`);
      const blocks = integer(1, 4 + Math.round(44 * intensity));
      const started = performance.now();
      const descriptor = openSync(path, "w");
      for (let index = 0; index < blocks; index++) {
        writeSync(descriptor, block);
        if (index % 8 === 7) await sleep(1);
      }
      fsyncSync(descriptor);
      closeSync(descriptor);
      if (uniform(0, 1) < 0.8) rmSync(path);
      const slowest = (blocks / (10 + 50 * intensity)) * 1000;
      await sleep(Math.max(5, slowest - (performance.now() - started)));
    }
  },

  /** Many short programs, one to six at a time. */
  async spawn() {
    const programs = [["true", []], ["echo", ["."]], ["date", []], ["ls", [folder]], ["sh", ["-c", "true; true"]]];
    const worker = async () => {
      for (;;) {
        await run(...oneOf(programs));
        if (uniform(0, 1) > intensity) await sleep(uniform(0, 30));
      }
    };
    await Promise.all(Array.from({ length: 1 + Math.round(5 * intensity) }, worker));
  },

  /** TCP over 127.0.0.1 from this process to a second one, in bursts of messages of one size; at most about 80 MB/s. */
  async network() {
    const sink = spawn(process.execPath, [process.argv[1], "sink", "0", "0", folder], { stdio: ["pipe", "pipe", "ignore"] });
    const port = await new Promise((resolve) => sink.stdout.once("data", (data) => resolve(Number(String(data)))));
    const socket = connect(port, "127.0.0.1");
    socket.resume();
    for (;;) {
      const size = Math.round(2 ** uniform(8, 18));
      const message = Buffer.alloc(size, 7);
      const bytesPerTick = Math.min(uniform(0.1, 1) * intensity * 800_000, size * 400);
      const until = performance.now() + uniform(500, 4000);
      while (performance.now() < until) {
        for (let sent = 0; sent < bytesPerTick; sent += size) {
          if (!socket.write(message)) await new Promise((resolve) => socket.once("drain", resolve));
        }
        await sleep(10);
      }
      await sleep(uniform(0, 800) * (1 - intensity));
    }
  },

  /** The other end of `network`: reads everything, echoes a sixteenth of it, and prints its port. */
  async sink() {
    const server = createServer((socket) => {
      socket.on("data", (data) => socket.write(data.subarray(0, data.length >> 4)));
      socket.on("error", () => process.exit());
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
    await new Promise(() => {});
  },

  /** Ramps memory up in touched blocks, holds it, frees it at once: 0.3 to 3 GB. */
  async memory() {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc");
    for (;;) {
      const blockMegabytes = oneOf([8, 16, 32]);
      const wanted = 300 + uniform(0.3, 1) * intensity * 2700;
      const pause = uniform(2, 60) * (1.2 - intensity);
      let held = [];
      for (let megabytes = 0; megabytes < wanted; megabytes += blockMegabytes) {
        held.push(Buffer.allocUnsafeSlow(blockMegabytes << 20).fill(megabytes & 255));
        await sleep(pause);
      }
      await sleep(uniform(100, 1500));
      held = null;
      collect();
      await sleep(uniform(100, 1200) * (1.2 - intensity));
    }
  },
};

process.stdin.on("end", () => process.exit()).on("error", () => process.exit()).resume();
setTimeout(() => process.exit(), 60_000);
await loads[label]();
