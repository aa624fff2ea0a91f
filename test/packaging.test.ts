/** @file What is packed beside the package: the systemd unit and the container say what the command knows. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const unit = "packaging/ostinato.service";
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** Options of `ostinato serve`, as the command defines them. */
const known = [...read("src/cli/main.ts").matchAll(/"(--[a-z-]+)[ "]/g)].map(([, flag]) => flag);
/** Options behind `ostinato ... serve` in a text. */
const optionsOf = (text: string) =>
  text
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => /\bserve\b/.test(line))
    .flatMap((line) => [...line.slice(line.search(/\bserve\b/)).matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag));

describe(unit, () => {
  it("asks of ostinato serve what there is", () => {
    const options = optionsOf(read(unit));
    expect(options).toContain("--data");
    expect(options.filter((option) => !known.includes(option))).toEqual([]);
  });

  it("keeps the server from everything but its own folder", () => {
    for (const line of [
      "DynamicUser=yes",
      "StateDirectory=ostinato",
      "ProtectSystem=strict",
      "NoNewPrivileges=yes",
      "Restart=on-failure",
      "CapabilityBoundingSet=",
    ]) {
      expect(read(unit).split("\n")).toContain(line);
    }
    expect(read(unit)).toMatch(/^LimitNOFILE=\d{5,}$/m);
    expect(read(unit)).toMatch(/^MemoryMax=/m);
  });

  it.skipIf(!hasSystemd)("is what systemd takes for good (needs systemd-analyze)", () => {
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", join(root, unit)], { encoding: "utf8" });
    // Of other units of this machine it complains too.
    expect({ status, own: stderr.split("\n").filter((line) => line.includes("ostinato")) }).toEqual({ status: 0, own: [] });
  });
});

describe("Dockerfile", () => {
  const lines = read("Dockerfile").replaceAll("\\\n", " ").split("\n");

  it("asks of ostinato serve what there is", () => {
    const options = optionsOf(read("Dockerfile").replaceAll("\\\n#", " ")).filter((option) => option !== "--help");
    expect(options).toEqual(expect.arrayContaining(["--data", "--host"]));
    expect(options.filter((option) => !known.includes(option))).toEqual([]);
  });

  it("runs without root, as its last user, and has a health check and a volume", () => {
    expect(lines.filter((line) => line.startsWith("USER"))).toEqual(["USER node"]);
    expect(lines.filter((line) => line.startsWith("FROM"))).toEqual([
      "FROM node:20-bookworm-slim AS build",
      "FROM node:20-bookworm-slim",
    ]);
    expect(lines).toContain("VOLUME /data");
    expect(lines.find((line) => line.startsWith("HEALTHCHECK"))).toContain("OSTINATO_HEALTH");
  });

  it("takes into the image what there is, or what the build makes", () => {
    const made = ["node_modules", "dist", "native"];
    const copied = lines.flatMap((line) => [...line.matchAll(/\/build\/(\S+)/g)].map(([, path]) => path));
    expect(copied.length).toBeGreaterThan(3);
    expect(copied.filter((path) => !made.includes(path) && !existsSync(join(root, path)))).toEqual([]);
  });
});
