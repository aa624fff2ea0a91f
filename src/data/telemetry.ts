/**
 * @file Telemetry of the host this program runs on: one record per interval, with the same columns on every machine.
 *
 * Every column is a share, a rate or a delay, never one per core and never an absolute size, so that a model trained on one machine
 * can be streamed another. Linux answers from `/proc`; other systems answer from Node and from `systeminformation`. A counter that
 * the host does not offer is null, and no counter that fails makes a sample fail.
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { OstinatoError } from "../core/errors.js";

/**
 * The columns of a telemetry record after its `time`, in file order. Rates and lags describe the interval since the previous
 * sample; shares of memory and the load describe the moment. Values are raw, rounded to 5 significant digits and 6 decimals: scaling
 * is the business of preprocessing. "Linux only" columns are null elsewhere.
 */
export const TELEMETRY_COLUMNS: readonly { name: string; unit: string; meaning: string }[] = [
  { name: "cpuUser", unit: "share", meaning: "processor time spent in programs, niced ones included, over all cores" },
  { name: "cpuSystem", unit: "share", meaning: "processor time spent in the kernel, interrupts included, over all cores" },
  { name: "cpuWait", unit: "share", meaning: "processor time idle while input or output was pending; Linux only" },
  { name: "cpuBusiestCore", unit: "share", meaning: "busy time (user and system) of the busiest core" },
  { name: "cpuSpread", unit: "share", meaning: "standard deviation of the busy time over the cores" },
  { name: "loadPerCore", unit: "tasks per core", meaning: "load average of one minute, divided by the cores; null on Windows" },
  { name: "memoryUsedShare", unit: "share", meaning: "memory that could not be had without swapping, so without caches" },
  { name: "memoryCacheShare", unit: "share", meaning: "memory that holds buffers and cached file pages" },
  { name: "memoryUsedChange", unit: "share/s", meaning: "change of memoryUsedShare per second; negative when memory is freed" },
  { name: "swapUsedShare", unit: "share", meaning: "used part of the swap space; 0 where there is none" },
  {
    name: "diskReadMBps",
    unit: "MB/s",
    meaning: "bytes read from whole physical or virtual disks (1 MB = 10^6 bytes); null on Windows",
  },
  { name: "diskWriteMBps", unit: "MB/s", meaning: "bytes written to whole physical or virtual disks; null on Windows" },
  {
    name: "networkReceiveMBps",
    unit: "MB/s",
    meaning: "bytes received over all interfaces, loopback included (Windows counts no loopback)",
  },
  { name: "networkSendMBps", unit: "MB/s", meaning: "bytes sent over all interfaces, loopback included" },
  {
    name: "processesRunningPerCore",
    unit: "tasks per core",
    meaning: "tasks running or ready to run, this sampler included; Linux only",
  },
  { name: "processStartsPerSecond", unit: "1/s per core", meaning: "processes and threads started; Linux only" },
  { name: "contextSwitchesPerSecond", unit: "1/s per core", meaning: "switches from one task to another; Linux only" },
  { name: "pageFaultsPerSecond", unit: "1/s per core", meaning: "page faults, minor and major; Linux only" },
  { name: "eventLoopLagMs", unit: "ms", meaning: "mean lateness of a timer of the sampling process over the interval" },
  { name: "eventLoopLagMaxMs", unit: "ms", meaning: "greatest lateness of a timer of the sampling process over the interval" },
];

/** One sample: `time` is ISO 8601 in UTC with milliseconds; the rest is one number or null per entry of {@link TELEMETRY_COLUMNS}. */
export type TelemetryRecord = { time: string } & Record<string, number | string | null>;

/** An open sampler. Rates are taken between consecutive calls of `sample`, or since opening, by the time that really elapsed. */
export interface TelemetrySampler {
  /** The record of the interval since the previous call. Cumulative counters need a nonzero interval; without one, rates are null. */
  sample(): Promise<TelemetryRecord>;
  /** Releases the files and timers; calling it again does nothing. */
  close(): void;
}

/** Cumulative processor time of one core, in a unit of the source's choice. `wait` is null where the host does not count it. */
interface CoreTime {
  user: number;
  system: number;
  wait: number | null;
  total: number;
}

/** Cumulative bytes or counts; null where the host does not offer them. */
type Counter = number | null;

/** The figures that are too dear for every sample on some systems. Memory and swap are shares. */
interface SlowReading {
  /** When they were read, in ms of the monotonic clock: equal to `at` or earlier. */
  slowAt: number;
  memoryUsed: Counter;
  memoryCache: Counter;
  swapUsed: Counter;
  diskRead: Counter;
  diskWrite: Counter;
  networkReceive: Counter;
  networkSend: Counter;
}

/** What one look at the host yields, at `at` ms of the monotonic clock. */
interface HostReading extends SlowReading {
  at: number;
  cores: readonly CoreTime[] | null;
  running: Counter;
  starts: Counter;
  switches: Counter;
  faults: Counter;
}

interface HostSource {
  read(): HostReading;
  close(): void;
}

const DEFAULT_INTERVAL_MS = 250;
const SHORTEST_INTERVAL_MS = 20;

/** Lateness is a 1 ms figure at best; a slow timer costs the sampling process few wake-ups, and a stall is never missed. */
const LAG_PERIOD_MS = 20;

/** Outside Linux, memory, disk and network need child processes: they are read this often at most, and held in between. */
const SLOW_PERIOD_MS = 2000;

/** How long opening waits for the first of those readings; where they take longer, their columns begin as null. */
const FIRST_ANSWER_MS = 5000;

/**
 * Opens a sampler of this host.
 *
 * @param options.intervalMs The interval at which `sample` will be called, in ms (default 250, at least 20).
 * @throws OstinatoError OST_RANGE for an interval that is too short or not a number.
 */
export async function openTelemetry(options: { intervalMs?: number } = {}): Promise<TelemetrySampler> {
  const intervalMs = checkedInterval(options.intervalMs);
  const source = openProcSource() ?? (await openPortableSource(Math.max(SLOW_PERIOD_MS, intervalMs)));
  const lag = new LoopLag();

  const rates = new Map<string, Rate>();
  const rate = (name: string, total: Counter, at: number): number | null => {
    let state = rates.get(name);
    if (!state) rates.set(name, (state = new Rate()));
    return state.update(total, at);
  };
  let before: readonly CoreTime[] | null = null;

  const take = (): Omit<TelemetryRecord, "time"> => {
    const now = source.read();
    const { at, slowAt } = now;
    const cpu = cpuShares(before, now.cores);
    before = now.cores;
    const coreCount = now.cores?.length ?? cpus().length;
    const perCore = (value: number | null) => (value === null || coreCount === 0 ? null : value / coreCount);
    const megabytes = (value: number | null) => (value === null ? null : value / 1e6);
    const values = {
      ...cpu,
      loadPerCore: process.platform === "win32" ? null : perCore(loadavg()[0]),
      memoryUsedShare: share(now.memoryUsed),
      memoryCacheShare: share(now.memoryCache),
      memoryUsedChange: rate("memoryUsed", now.memoryUsed, slowAt),
      swapUsedShare: share(now.swapUsed),
      diskReadMBps: megabytes(notNegative(rate("diskRead", now.diskRead, slowAt))),
      diskWriteMBps: megabytes(notNegative(rate("diskWrite", now.diskWrite, slowAt))),
      networkReceiveMBps: megabytes(notNegative(rate("networkReceive", now.networkReceive, slowAt))),
      networkSendMBps: megabytes(notNegative(rate("networkSend", now.networkSend, slowAt))),
      processesRunningPerCore: perCore(now.running),
      processStartsPerSecond: perCore(notNegative(rate("starts", now.starts, at))),
      contextSwitchesPerSecond: perCore(notNegative(rate("switches", now.switches, at))),
      pageFaultsPerSecond: perCore(notNegative(rate("faults", now.faults, at))),
      ...lag.take(),
    };
    return Object.fromEntries(TELEMETRY_COLUMNS.map(({ name }) => [name, rounded(values[name as keyof typeof values])]));
  };

  take();
  return {
    sample: async () => ({ time: new Date().toISOString(), ...take() }),
    close: () => {
      lag.close();
      source.close();
    },
  };
}

/**
 * Records at a steady rate: sample n falls at start + n intervals, so that the rate does not drift. A consumer that is too slow
 * loses the samples it missed and stays on the grid.
 *
 * @param options.intervalMs Interval in ms (default 250, at least 20).
 * @param options.signal Ends the generator, at once and without an error.
 * @param options.seconds Ends the generator after the last sample that falls within this time (default: never).
 * @throws OstinatoError OST_RANGE for an interval or a time out of range.
 */
export async function* telemetry(
  options: { intervalMs?: number; signal?: AbortSignal; seconds?: number } = {},
): AsyncGenerator<TelemetryRecord, void, undefined> {
  const intervalMs = checkedInterval(options.intervalMs);
  const { signal, seconds = Number.POSITIVE_INFINITY } = options;
  if (!(seconds > 0)) {
    throw new OstinatoError("OST_RANGE", {
      what: "telemetry needs a time to record",
      expected: "seconds > 0",
      got: String(seconds),
      where: "telemetry.seconds",
    });
  }
  if (signal?.aborted) return;
  const sampler = await openTelemetry({ intervalMs });
  try {
    const start = performance.now();
    const last = Math.floor((seconds * 1000) / intervalMs + 1e-9);
    for (let step = 1; step <= last; ) {
      if (!(await waited(start + step * intervalMs - performance.now(), signal))) return;
      yield await sampler.sample();
      step = Math.max(step + 1, Math.ceil((performance.now() - start) / intervalMs));
    }
  } finally {
    sampler.close();
  }
}

/** The header line of a telemetry CSV file: `time`, then the columns of {@link TELEMETRY_COLUMNS}; no line end. */
export function telemetryCsvHeader(): string {
  return ["time", ...TELEMETRY_COLUMNS.map(({ name }) => name)].join(",");
}

/** One line of a telemetry CSV file, in the order of {@link telemetryCsvHeader}; null becomes an empty cell; no line end. */
export function telemetryCsvRow(record: TelemetryRecord): string {
  return [record.time, ...TELEMETRY_COLUMNS.map(({ name }) => record[name] ?? "")].join(",");
}

function checkedInterval(intervalMs = DEFAULT_INTERVAL_MS): number {
  if (intervalMs >= SHORTEST_INTERVAL_MS && Number.isFinite(intervalMs)) return intervalMs;
  throw new OstinatoError("OST_RANGE", {
    what: "the sampling interval is out of range",
    expected: `at least ${SHORTEST_INTERVAL_MS} ms`,
    got: String(intervalMs),
    where: "telemetry.intervalMs",
    repair: `sample every ${DEFAULT_INTERVAL_MS} ms (4 Hz)`,
  });
}

/** Sleeps; false when the signal ended the sleep. */
async function waited(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await delay(Math.max(0, ms), undefined, { signal });
    return !signal?.aborted;
  } catch {
    return false;
  }
}

/** The slope of a cumulative counter between its last two readings. A reading repeated at the same instant keeps the slope. */
class Rate {
  #total: Counter = null;
  #at = 0;
  #slope: number | null = null;

  update(total: Counter, at: number): number | null {
    if (total === null || this.#total === null) {
      this.#slope = null;
    } else if (at > this.#at) {
      this.#slope = (total - this.#total) / ((at - this.#at) / 1000);
    }
    this.#total = total;
    this.#at = at;
    return this.#slope;
  }
}

/**
 * Lateness of a periodic timer of this process. Every tick is measured from the one before it, across calls of `take`: the
 * histogram of `perf_hooks` forgets the tick that follows its reset, and with it a stall that begins there.
 */
class LoopLag {
  readonly #timer = setInterval(() => this.#tick(), LAG_PERIOD_MS).unref();
  #before = performance.now();
  #count = 0;
  #sum = 0;
  #max = 0;

  #tick(): void {
    const now = performance.now();
    const late = Math.max(0, now - this.#before - LAG_PERIOD_MS);
    this.#before = now;
    this.#count += 1;
    this.#sum += late;
    this.#max = Math.max(this.#max, late);
  }

  /** Mean and maximum in ms since the previous call; null when no tick fell in between. */
  take(): { eventLoopLagMs: number | null; eventLoopLagMaxMs: number | null } {
    const [count, sum, max] = [this.#count, this.#sum, this.#max];
    [this.#count, this.#sum, this.#max] = [0, 0, 0];
    return count === 0
      ? { eventLoopLagMs: null, eventLoopLagMaxMs: null }
      : { eventLoopLagMs: sum / count, eventLoopLagMaxMs: max };
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** A counter that went backwards was reset (a device left, a counter wrapped): its rate is unknown for that interval. */
function notNegative(rate: number | null): number | null {
  return rate !== null && rate < 0 ? null : rate;
}

function share(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Math.min(1, Math.max(0, value));
}

function rounded(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(Number(value.toPrecision(5)).toFixed(6));
}

/** Shares of processor time between two readings; null throughout when no time passed or a core came or went. */
function cpuShares(before: readonly CoreTime[] | null, after: readonly CoreTime[] | null) {
  const unknown = { cpuUser: null, cpuSystem: null, cpuWait: null, cpuBusiestCore: null, cpuSpread: null };
  if (!before || !after || before.length !== after.length || after.length === 0) return unknown;
  let [user, system, wait, total] = [0, 0, 0, 0];
  const busy: number[] = [];
  for (const [core, now] of after.entries()) {
    const was = before[core];
    const elapsed = now.total - was.total;
    user += now.user - was.user;
    system += now.system - was.system;
    wait += (now.wait ?? 0) - (was.wait ?? 0);
    total += elapsed;
    busy.push(elapsed > 0 ? (now.user - was.user + now.system - was.system) / elapsed : 0);
  }
  if (!(total > 0)) return unknown;
  const mean = busy.reduce((sum, value) => sum + value, 0) / busy.length;
  const variance = busy.reduce((sum, value) => sum + (value - mean) ** 2, 0) / busy.length;
  return {
    cpuUser: share(user / total),
    cpuSystem: share(system / total),
    cpuWait: after[0].wait === null ? null : share(wait / total),
    cpuBusiestCore: share(Math.max(...busy)),
    cpuSpread: share(Math.sqrt(variance)),
  };
}

// ---------------------------------------------------------------------------------------------------------------- Linux

/** A `/proc` file kept open: reading it again from position 0 asks the kernel anew. Null where it does not exist. */
class ProcFile {
  #descriptor: number | null;
  #buffer = Buffer.alloc(16384);

  constructor(path: string) {
    this.#descriptor = opened(path);
  }

  get exists(): boolean {
    return this.#descriptor !== null;
  }

  text(): string {
    if (this.#descriptor === null) return "";
    try {
      let length = 0;
      for (;;) {
        const count = readSync(this.#descriptor, this.#buffer, length, this.#buffer.length - length, length);
        if (count === 0) return this.#buffer.toString("latin1", 0, length);
        length += count;
        if (length === this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(length)]);
      }
    } catch {
      return "";
    }
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

function opened(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch {
    return null;
  }
}

/** The source for Linux; null where there is no `/proc/stat` to read. */
function openProcSource(): HostSource | null {
  const stat = new ProcFile("/proc/stat");
  if (!stat.exists) return null;
  const memory = new ProcFile("/proc/meminfo");
  const virtualMemory = new ProcFile("/proc/vmstat");
  const disks = new ProcFile("/proc/diskstats");
  const network = new ProcFile("/proc/net/dev");
  const wholeDisks = listWholeDisks();
  return {
    read() {
      const at = performance.now();
      const statText = stat.text();
      return {
        at,
        slowAt: at,
        cores: procCores(statText),
        running: field(statText, "procs_running"),
        starts: field(statText, "processes"),
        switches: field(statText, "ctxt"),
        faults: field(virtualMemory.text(), "pgfault"),
        ...procMemory(memory.text()),
        ...procDisks(disks.text(), wholeDisks),
        ...procNetwork(network.text()),
      };
    },
    close() {
      for (const file of [stat, memory, virtualMemory, disks, network]) file.close();
    },
  };
}

/** The number after `name` (and an optional colon) at the start of a line; null where no line has it. */
function field(text: string, name: string): number | null {
  const found = new RegExp(`^${name}:?\\s+(\\d+)`, "m").exec(text);
  return found ? Number(found[1]) : null;
}

/** Lines `cpu0 user nice system idle iowait irq softirq steal ...`, in ticks. Guest time is already part of user time. */
function procCores(text: string): CoreTime[] | null {
  const cores: CoreTime[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("cpu")) break;
    if (line.startsWith("cpu ")) continue;
    const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, interrupt = 0, soft = 0, stolen = 0] = line
      .split(" ")
      .slice(1)
      .map(Number);
    const total = user + nice + system + idle + wait + interrupt + soft + stolen;
    cores.push({ user: user + nice, system: system + interrupt + soft, wait, total });
  }
  return cores.length > 0 ? cores : null;
}

function procMemory(text: string) {
  const total = field(text, "MemTotal");
  const available = field(text, "MemAvailable");
  if (!total) return { memoryUsed: null, memoryCache: null, swapUsed: null };
  const cache = (field(text, "Buffers") ?? 0) + (field(text, "Cached") ?? 0) + (field(text, "SReclaimable") ?? 0);
  const swap = field(text, "SwapTotal");
  return {
    memoryUsed: available === null ? null : (total - available) / total,
    memoryCache: cache / total,
    swapUsed: swap === null ? null : swap === 0 ? 0 : 1 - (field(text, "SwapFree") ?? swap) / swap,
  };
}

/** Disks that hold no copy of another's traffic: no partitions, and none of the devices that Linux layers over disks or memory. */
function listWholeDisks(): ReadonlySet<string> {
  try {
    return new Set(readdirSync("/sys/block").filter((name) => !/^(loop|ram|zram|dm-|md|sr|fd|nbd)/.test(name)));
  } catch {
    return new Set();
  }
}

/** Lines `major minor name reads merged sectorsRead ms writes merged sectorsWritten ...`; a sector is 512 bytes here by definition. */
function procDisks(text: string, wholeDisks: ReadonlySet<string>) {
  let [read, written, found] = [0, 0, false];
  for (const line of text.split("\n")) {
    const cells = line.trim().split(/\s+/);
    if (!wholeDisks.has(cells[2])) continue;
    found = true;
    read += Number(cells[5]) * 512;
    written += Number(cells[9]) * 512;
  }
  return found ? { diskRead: read, diskWrite: written } : { diskRead: null, diskWrite: null };
}

/** Lines `name: bytesReceived (7 more) bytesSent ...`. Virtual links that repeat another interface's traffic are left out. */
function procNetwork(text: string) {
  let [received, sent, found] = [0, 0, false];
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0 || /^(veth|br-|docker|virbr|ifb)/.test(line.slice(0, colon).trim())) continue;
    const cells = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/);
    found = true;
    received += Number(cells[0]);
    sent += Number(cells[8]);
  }
  return found ? { networkReceive: received, networkSend: sent } : { networkReceive: null, networkSend: null };
}

// ------------------------------------------------------------------------------------------------------- other systems

/** The answer, or null where the host has none. */
async function answer<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch {
    return null;
  }
}

/**
 * The source for macOS, Windows and the rest. Processor time comes from Node at every sample; memory, disks and network come from
 * `systeminformation`, which starts child processes for them, hence at most once per `slowPeriodMs`, in the background.
 */
async function openPortableSource(slowPeriodMs: number): Promise<HostSource> {
  const information = await import("systeminformation").catch(() => null);
  const none = {
    memoryUsed: null,
    memoryCache: null,
    swapUsed: null,
    diskRead: null,
    diskWrite: null,
    networkReceive: null,
    networkSend: null,
  };
  let slow: SlowReading = { slowAt: performance.now(), ...none };
  let refreshing = false;

  const refresh = async () => {
    if (!information || refreshing) return;
    refreshing = true;
    // macOS names its loopback; Windows counts none. Without an argument the default interface is meant.
    const interfaces =
      process.platform === "darwin"
        ? ["lo0", await answer(() => information.networkInterfaceDefault())].filter(Boolean).join(",")
        : undefined;
    const [memory, disks, networks] = await Promise.all([
      answer(() => information.mem()),
      answer(() => information.fsStats()),
      answer(() => information.networkStats(interfaces)),
    ]);
    // An interface that could not be asked counts zero bytes since start.
    const sum = (key: "rx_bytes" | "tx_bytes") => networks?.reduce((total, each) => total + each[key], 0) || null;
    slow = {
      slowAt: performance.now(),
      memoryUsed: memory?.total ? memory.active / memory.total : null,
      memoryCache: memory?.total ? memory.buffcache / memory.total : null,
      swapUsed: memory ? (memory.swaptotal > 0 ? memory.swapused / memory.swaptotal : 0) : null,
      diskRead: disks?.rx ?? null,
      diskWrite: disks?.wx ?? null,
      networkReceive: sum("rx_bytes"),
      networkSend: sum("tx_bytes"),
    };
    refreshing = false;
  };
  await Promise.race([refresh(), delay(FIRST_ANSWER_MS, undefined, { ref: false })]);

  return {
    read() {
      const at = performance.now();
      if (at - slow.slowAt >= slowPeriodMs) void refresh();
      const cores = cpus().map(({ times: { user, nice, sys, idle, irq } }) => ({
        user: user + nice,
        system: sys + irq,
        wait: null,
        total: user + nice + sys + idle + irq,
      }));
      return { at, cores: cores.length > 0 ? cores : null, running: null, starts: null, switches: null, faults: null, ...slow };
    },
    close() {},
  };
}
