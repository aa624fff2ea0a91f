/** @file Every parser of the server, with valid inputs of its own to be spoiled, and what counts as an honest refusal. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { parse as parseYaml } from "yaml";
import { OstinatoError } from "../../src/core/errors.js";
import { decodeModel } from "../../src/model/file.js";
import { openModel, ProbeModel } from "../../src/model/index.js";
import { decodeSnapshot, encodeSnapshot } from "../../src/model/snapshot.js";
import type { Store } from "../../src/protocol/store.js";
import { checkAuditLine, GENESIS, writeAuditLine } from "../../src/serve/audit-line.js";
import { readAuthConfig } from "../../src/serve/auth-config.js";
import { makeKey, readKeys } from "../../src/serve/credential-key.js";
import type { ModelVersion } from "../../src/serve/engine.js";
import { Ledger } from "../../src/serve/ledger.js";
import { checkLimits } from "../../src/serve/limits.js";
import { openVersion } from "../../src/serve/model-version.js";
import { sequenceId } from "../../src/serve/oip-infer.js";
import { readInferBody } from "../../src/serve/oip-json.js";
import { INFERENCE, readInferMessage } from "../../src/serve/oip-message.js";
import { decodeMessage, encodeMessage } from "../../src/serve/oip-protobuf.js";
import { type InputTensor, readInput } from "../../src/serve/oip-tensor.js";
import {
  parseCreate,
  parseCursor,
  parseIncarnation,
  parseRestore,
  parseSteps,
  recordLines,
  wantSeq,
} from "../../src/serve/request.js";
import { SnapshotSeal } from "../../src/serve/sealed-snapshot.js";
import { numberId, parseSessionKey, sessionKey, textId } from "../../src/serve/session-key.js";
import {
  answerParts,
  decodeSession,
  encodeSession,
  encodeTraits,
  makeAnswer,
  type SessionRecord,
  splitAnswers,
} from "../../src/serve/session-record.js";
import { decodeBatch, decodeRecord, encodeBatch, encodeRecord } from "../../src/serve/store-batch.js";
import { MemoryStore } from "../../src/serve/store-memory.js";
import { hostileMessages, readEverything } from "../support/fuzz-frames.js";
import { badText, EDGES, mutateBytes, mutateJson, mutateText, pick, type Random } from "./mutation.js";

export interface HostileParser {
  name: string;
  /** Reads one spoiled input; what it throws must be an OstinatoError. `false`: it was refused without one. */
  read(rng: Random): unknown;
  /** A case takes a millisecond, not microseconds: the quick run has a tenth of them. */
  slow?: boolean;
  close?(): void;
}

export async function hostileParsers(): Promise<HostileParser[]> {
  const { facts: probe } = await openVersion({ probe: true });
  const file = new Uint8Array(readFileSync(new URL("../golden/model-files/v1-tag-gru-carried.safetensors", import.meta.url)));
  const { facts: load } = await openVersion({ bytes: file });
  return [
    frames(),
    ...requests(probe, load),
    ...tensors(probe, load),
    ...stored(),
    ...snapshots(),
    ...modelFiles(file),
    ...configurations(),
    auditLines(),
    identities(),
  ];
}

function frames(): HostileParser {
  let messages: Generator<Uint8Array> | null = null;
  return {
    name: "WebSocket frames",
    read(rng) {
      messages ??= hostileMessages(Number.MAX_SAFE_INTEGER, rng.bits());
      readEverything(messages.next().value as Uint8Array);
    },
  };
}

const HEADERS = ['"7"', "7", "0", '"', "1e3", "0x7", " 7 ", "9007199254740993", "-0", "Infinity", '"7", "8"', "\u0661"];

function requests(probe: ModelVersion, load: ModelVersion): HostileParser[] {
  const steps = [
    '{"record":{"value":1.5},"seq":7,"incarnation":3,"end":false}',
    '{"records":[{"value":1},{"value":null},{"value":"a"}],"seq":1}',
    `{"rows":[[${Array(16).fill(0.25).join()}],[${Array(16).fill("null").join()}]]}`,
  ];
  const creates = [
    '{"id":"meter-7","durability":"durable","ttlSeconds":60,"attributes":{"device_class":"a","session_type":"b"}}',
    '{"id":{"number":"18446744073709551615"},"snapshot":"T1NUUwAA"}',
  ];
  const parsed = (text: string): { value: unknown } | null => {
    try {
      return { value: JSON.parse(text) };
    } catch {
      return null;
    }
  };
  return [
    {
      name: "steps as JSON",
      read(rng) {
        const body = parsed(mutateJson(rng, pick(rng, steps)));
        return body === null ? false : parseSteps(body.value, rng.integer(2) ? probe : load);
      },
    },
    {
      name: "create and restore as JSON",
      read(rng) {
        const body = parsed(mutateJson(rng, pick(rng, creates)));
        if (body === null) return false;
        if (rng.integer(4) === 0) return parseRestore(body.value);
        parseCreate(body.value);
        return parseIncarnation(body.value);
      },
    },
    {
      name: "records as NDJSON",
      slow: true,
      async read(rng) {
        const text = Array.from({ length: 1 + rng.integer(4) }, () => mutateJson(rng, '{"value":1.5,"b":"x","c":null}')).join(
          "\n",
        );
        const bytes = Buffer.from(text);
        const cut = rng.integer(bytes.length + 1);
        const source = (async function* () {
          yield bytes.subarray(0, cut);
          yield bytes.subarray(cut);
        })();
        let count = 0;
        for await (const records of recordLines(source, 1 + rng.integer(3))) count += records.length;
        return count;
      },
    },
    {
      name: "Idempotency-Key, cursors",
      read(rng) {
        const header = rng.integer(2) ? mutateText(rng, pick(rng, HEADERS)) : pick(rng, HEADERS);
        parseCursor({ limit: rng.integer(2) ? undefined : mutateText(rng, "100"), after: badText(rng) });
        const seq = wantSeq(rng.integer(4) === 0 ? pick(rng, EDGES) : undefined, rng.integer(8) ? header : [header, header]);
        if (seq !== undefined && !(Number.isSafeInteger(seq) && seq >= 1)) throw new Error(`a number that is none: ${seq}`);
        return seq;
      },
    },
  ];
}

function tensors(probe: ModelVersion, load: ModelVersion): HostileParser[] {
  const json = [
    '{"id":"1","parameters":{"sequence_id":42,"sequence_start":true,"sequence_end":false,"ostinato_seq":1},"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,1],"data":[1.5]}],"outputs":[{"name":"output","parameters":{"binary_data":true}}]}',
    '{"inputs":[{"name":"value","datatype":"FP64","shape":[1,2],"data":[[1,2]]}],"parameters":{"sequence_id":"a"}}',
    '{"inputs":[{"name":"value","datatype":"BYTES","shape":[1],"data":["x"]}]}',
  ];
  const headed = '{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2,1],"parameters":{"binary_data_size":8}}]}';
  const request = INFERENCE.message("ModelInferRequest");
  const value = Buffer.from(Float32Array.of(1.5).buffer);
  const messages = [
    {
      model_name: "probe",
      id: "1",
      parameters: {
        sequence_id: { uint64_param: 2n ** 63n + 1n },
        sequence_start: { bool_param: true },
        x: { double_param: 1.5 },
      },
      inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 1] }],
      raw_input_contents: [value],
      outputs: [{ name: "output" }],
    },
    {
      model_name: "probe",
      inputs: [{ name: "value", datatype: "INT64", shape: [1, 2], contents: { int64_contents: [1, 2n ** 62n] } }],
      parameters: { sequence_id: { string_param: "a" } },
    },
  ].map((message) => encodeMessage(request, message));
  const types = INFERENCE.services.flatMap(({ methods }) => methods.flatMap(({ input, output }) => [input, output]));
  const use = (
    parameters: ReadonlyMap<string, boolean | number | bigint | string>,
    inputs: readonly InputTensor[],
    rng: Random,
  ) => {
    const { count } = readInput(rng.integer(2) ? probe : load, inputs) as { count?: number };
    if (count !== undefined && !Number.isSafeInteger(count)) throw new Error("no count");
    return sequenceId(parameters);
  };
  const datatypes = ["BOOL", "UINT8", "UINT64", "INT8", "INT64", "FP16", "FP32", "FP64", "BYTES", "fp32", ""];
  return [
    {
      name: "OIP requests in JSON",
      read(rng) {
        const body = Buffer.from(mutateJson(rng, pick(rng, json)));
        const { ask } = readInferBody(body, { model: "probe", version: "", headerLength: undefined });
        return use(ask.parameters, ask.inputs(), rng);
      },
    },
    {
      name: "OIP requests with binary tensors",
      read(rng) {
        const head = rng.integer(2) ? mutateJson(rng, headed) : headed;
        const tail = rng.integer(2) ? mutateBytes(rng, new Uint8Array(8)) : new Uint8Array(8);
        const length = rng.integer(3) ? String(Buffer.byteLength(head)) : mutateText(rng, String(pick(rng, EDGES)));
        const body = Buffer.concat([Buffer.from(head), tail]);
        const { ask } = readInferBody(body, { model: "probe", version: "1", headerLength: length });
        return use(ask.parameters, ask.inputs(), rng);
      },
    },
    {
      name: "OIP tensors",
      read(rng) {
        const shape = Array.from({ length: rng.integer(10) }, () => (rng.integer(3) ? 1 : pick(rng, EDGES)));
        const raw = Uint8Array.from({ length: rng.integer(40) }, () => rng.integer(256));
        const values = Array.from({ length: rng.integer(6) }, () =>
          pick<unknown>(rng, [...EDGES, null, "x", Number.NaN, true, 2n ** 64n, {}, Buffer.of(255)]),
        );
        const tensor: InputTensor = {
          name: pick(rng, ["input", "value", "x0", "", "__proto__"]),
          datatype: pick(rng, datatypes),
          shape,
          data: rng.integer(2) ? { raw } : { values },
        };
        return readInput(rng.integer(2) ? probe : load, rng.integer(8) ? [tensor] : [tensor, tensor]);
      },
    },
    {
      name: "protobuf: inference requests",
      read(rng) {
        const ask = readInferMessage(Buffer.from(mutateBytes(rng, pick(rng, messages))));
        return use(ask.parameters, ask.inputs(), rng);
      },
    },
    {
      name: "protobuf: every message",
      read: (rng) => decodeMessage(pick(rng, types), Buffer.from(mutateBytes(rng, pick(rng, messages)))),
    },
  ];
}

/** Of a session's record: the length of its text. */
const TEXT_LENGTH_AT = 84;
const crc32 = (zlib as { crc32?: (bytes: Uint8Array) => number }).crc32;

function stored(): HostileParser[] {
  const answers = Float64Array.of(
    ...makeAnswer({ firstSeq: 1, records: 2, digest: 7, count: 2, width: 2 }),
    ...makeAnswer({ firstSeq: 3, records: 1, digest: 9, count: 1, width: 2 }),
  );
  const record: SessionRecord = {
    version: "v".repeat(64),
    creator: "key:1",
    attributes: { device_class: "a" },
    quarantined: false,
    durability: "durable",
    boot: 3,
    state: { preprocessing: Float64Array.of(1), model: Float32Array.of(1, 2, 3, 4), steps: 3, entity: null },
    resets: 0,
    createdAt: 1e12,
    born: 1,
    stateBorn: 1,
    usedAt: 2,
    ttlMs: null,
    operation: 5,
    answers,
  };
  const session = encodeSession(record, encodeTraits(record, null));
  const traitsAt = session.length - encodeTraits(record, null).length;
  const key = sessionKey({ tenant: "plant", model: "probe", id: { text: "a" } });
  const entry = { incarnation: 1, seq: 3, bytes: session };
  const batch = encodeBatch({
    number: 4,
    count: 2,
    records: [
      { key, entry },
      { key: `${key}b`, entry: null },
    ],
  }).value;
  const table = encodeRecord(Buffer.from(key), entry);
  /** As whoever can write to the disk, and not a failing disk, would leave it. */
  const signed = (bytes: Buffer, end: number) => {
    if (crc32 && end >= 4 && bytes.length >= 4) bytes.writeUInt32LE(crc32(bytes.subarray(4, end)), 0);
    return bytes;
  };
  return [
    {
      name: "session records",
      read(rng) {
        let bytes = mutateBytes(rng, session);
        if (rng.integer(3) === 0) {
          const text = Buffer.from(mutateJson(rng, Buffer.from(session.subarray(traitsAt)).toString()));
          bytes = Buffer.concat([session.subarray(0, traitsAt), text]);
          bytes = Uint8Array.from(bytes);
          new DataView(bytes.buffer).setUint32(TEXT_LENGTH_AT, text.length, true);
        }
        const { answers: read } = decodeSession(bytes);
        for (const answer of splitAnswers(read)) answerParts(answer);
      },
    },
    {
      name: "store: journal batches",
      read(rng) {
        const bytes = Buffer.from(mutateBytes(rng, batch));
        if (rng.integer(2) && bytes.length >= 32) {
          bytes.writeUInt32LE(bytes.length, 28);
          signed(bytes, Math.min(bytes.length, bytes.readUInt32LE(24)));
        }
        return decodeBatch(bytes) ?? false;
      },
    },
    {
      name: "store: records of the table",
      read(rng) {
        const bytes = Buffer.from(mutateBytes(rng, table));
        return decodeRecord(Buffer.from(key), rng.integer(2) ? signed(bytes, bytes.length) : bytes);
      },
    },
    {
      name: "ledger",
      slow: true,
      async read(rng) {
        const store: Store = new MemoryStore();
        const names = ["incarnation", "clock", "boot", "clean", "unclean", "sessions", "tenant/a", "version/b"];
        const writes = new Map<string, Uint8Array>();
        for (let i = rng.integer(5); i > 0; i--)
          writes.set(`!${pick(rng, names)}`, mutateBytes(rng, new Uint8Array(Float64Array.of(pick(rng, EDGES)).buffer)));
        if (rng.integer(2)) writes.set(key, mutateBytes(rng, session));
        await store.commit(
          [...writes].map(([name, bytes]) => ({ key: name, expected: null, record: { incarnation: 1, seq: 1, bytes } })),
        );
        const ledger = await Ledger.open(store, () => 1);
        const next = ledger.nextIncarnation();
        if (!(Number.isSafeInteger(next) && next >= 1)) throw new Error(`an incarnation that is none: ${next}`);
        if (!Number.isFinite(ledger.clock())) throw new Error(`a clock that shows none: ${ledger.clock()}`);
      },
    },
  ];
}

function snapshots(): HostileParser[] {
  const model = new ProbeModel();
  const state = { preprocessing: Float64Array.of(1), model: Float32Array.of(1, 2, 3, 4), steps: 3, entity: null };
  const plain = encodeSnapshot(state, { model: model.hash, owner: "o" });
  const expected = { model: model.hash, owner: "o", preprocessing: 1, state: 4 };
  const seal = new SnapshotSeal(new Uint8Array(32).fill(7));
  const binding = { tenant: "plant", model: "m", stateSchema: "s" };
  const sealed = seal.seal(plain, binding);
  const plainCrc = (bytes: Uint8Array) => {
    if (crc32 && bytes.length >= 4)
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    return bytes;
  };
  return [
    {
      name: "plain snapshots",
      read(rng) {
        const bytes = mutateBytes(rng, plain);
        decodeSnapshot(rng.integer(2) ? plainCrc(bytes) : bytes, expected);
      },
    },
    {
      name: "sealed snapshots",
      read(rng) {
        const bytes = mutateBytes(rng, sealed);
        const opened = seal.unseal(bytes, rng.integer(4) ? binding : { ...binding, tenant: badText(rng) });
        if (Buffer.compare(bytes, sealed) !== 0) throw new Error("a changed seal was opened");
        return opened;
      },
    },
  ];
}

function modelFiles(file: Uint8Array): HostileParser[] {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = Buffer.from(file.subarray(8, 8 + length)).toString();
  const { ostinato } = JSON.parse(header).__metadata__;
  const withHeader = (text: string) => {
    const bytes = Buffer.from(text);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(bytes.length));
    return new Uint8Array(Buffer.concat([size, bytes, file.subarray(8 + length)]));
  };
  return [
    { name: "model files: safetensors", slow: true, read: (rng) => decodeModel(mutateHead(rng, file, length)) },
    { name: "model files: tensor table", slow: true, read: (rng) => decodeModel(withHeader(mutateJson(rng, header))) },
    {
      name: "model files: header, opened whole",
      slow: true,
      read(rng) {
        const changed = JSON.parse(header);
        changed.__metadata__.ostinato = mutateJson(rng, ostinato);
        return openModel(withHeader(JSON.stringify(changed)));
      },
    },
  ];
}

/** Spoils the part before the weights: changes among the weights are weights. */
function mutateHead(rng: Random, file: Uint8Array, length: number): Uint8Array {
  const head = mutateBytes(rng, file.subarray(0, 8 + length));
  return new Uint8Array(
    Buffer.concat([head, file.subarray(8 + length, rng.integer(4) ? file.length : rng.integer(file.length))]),
  );
}

function configurations(): HostileParser[] {
  const { entry } = makeKey({ tenant: "plant-7", scopes: ["step", "state:read"], expires: 1.9e12 });
  const keys = [JSON.stringify([entry]), `- id: ${entry.id}\n  sha256: ${entry.sha256}\n  tenant: plant-7\n  scopes: [step]\n`];
  const limits =
    '{"all":{"stepsPerSecond":100,"burstSeconds":2},"tenants":{"plant-7":{"weight":2,"liveSessions":5},"b":{"bytesPerSecond":1e6}}}';
  const auth =
    '{"keys":"keys.yaml","jwt":{"issuer":"https://id.example.org","audience":"a","jwks":"jwks.json","leewaySeconds":30},"certificates":{"URI:spiffe://a/b":{"tenant":"plant-7","scopes":["step"]}}}';
  const folder = mkdtempSync(join(tmpdir(), "ostinato-hostile-"));
  const path = join(folder, "auth.yaml");
  const alias = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n";
  return [
    {
      name: "API key files",
      slow: true,
      read: (rng) => readKeys(rng.integer(50) ? mutateJson(rng, pick(rng, keys)) : alias, "keys"),
    },
    {
      name: "limits files",
      slow: true,
      read(rng) {
        let value: unknown;
        try {
          value = parseYaml(mutateJson(rng, limits), { maxAliasCount: 0 });
        } catch {
          return false;
        }
        return checkLimits(value);
      },
    },
    {
      name: "auth files",
      slow: true,
      read(rng) {
        writeFileSync(path, rng.integer(50) ? mutateJson(rng, auth) : alias);
        return readAuthConfig(path);
      },
      close: () => rmSync(folder, { recursive: true, force: true }),
    },
  ];
}

function auditLines(): HostileParser {
  const entry = {
    actor: "key:1",
    tenant: "plant",
    key: "k",
    event: "reset",
    reason: "client",
    from: 1,
    to: 2,
    seq: 3,
    version: "v",
  };
  const { text } = writeAuditLine(entry, GENESIS, 1e12);
  const bytes = Buffer.from(text);
  return {
    name: "audit log lines",
    read(rng) {
      if (rng.integer(3) === 0) {
        const said = { ...entry, actor: badText(rng), tenant: badText(rng), reason: badText(rng), seq: pick(rng, EDGES) };
        const line = writeAuditLine(said, GENESIS, rng.integer(1e9));
        if (/[\n\r]/.test(line.text)) throw new Error("a line that is two");
        if ("why" in checkAuditLine(Buffer.from(line.text), GENESIS)) throw new Error("an own line is refused");
        return line;
      }
      const spoiled = mutateBytes(rng, bytes);
      const result = checkAuditLine(spoiled, GENESIS);
      if (!("why" in result) && Buffer.compare(spoiled, bytes) !== 0) throw new Error("a changed line was accepted");
      return result;
    },
  };
}

function identities(): HostileParser {
  return {
    name: "session ids and keys",
    read(rng) {
      const id = rng.integer(3)
        ? textId(badText(rng))
        : numberId(rng.integer(2) ? mutateText(rng, "18446744073709551615") : String(pick(rng, EDGES)));
      const name = { tenant: "plant", model: "probe", id };
      const back = parseSessionKey(sessionKey(name));
      if (JSON.stringify(back) !== JSON.stringify(name)) throw new Error(`a key of another session: ${JSON.stringify(name)}`);
    },
  };
}

/** Whether what a parser threw is a refusal in words, and not an accident. */
export function isRefusal(error: unknown): boolean {
  return error instanceof OstinatoError && error.code !== "OST_INTERNAL";
}
