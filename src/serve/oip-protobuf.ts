/**
 * @file Protocol Buffers: reads a proto file (the part of proto3 that `inference.proto.ts` uses), and messages of it to and from bytes.
 *
 * A message is a plain object of the fields that are there, under their names in the file; an absent one has its type's default. Lists are
 * arrays and maps are Maps. Integers of 64 bits are numbers where a number holds them exactly, else bigints: none is ever rounded.
 */
import { OstinatoError } from "../core/errors.js";

export type Message = { [field: string]: unknown };
/** An integer of 64 bits: a bigint beyond +-(2^53 - 1). */
export type Whole = number | bigint;

type Scalar = "bool" | "int32" | "int64" | "uint32" | "uint64" | "enum" | "float" | "double" | "string" | "bytes";

export interface Field {
  name: string;
  number: number;
  /** Of the values, in a map. */
  type: Scalar | "message";
  kind: "single" | "list" | "map";
  /** Full name of a message's or an enum's type. */
  typeName: string;
  message: MessageType | null;
  oneof: string | null;
}

/** A kind of message, in the order of the file. */
export class MessageType {
  readonly fields: Field[] = [];
  readonly byNumber: (Field | undefined)[] = [];

  constructor(
    /** With its package. */
    readonly name: string,
    readonly nested: MessageType[],
    readonly enums: EnumType[],
  ) {}
}

export interface EnumType {
  name: string;
  values: Map<string, number>;
}

export interface Method {
  name: string;
  input: MessageType;
  output: MessageType;
  clientStream: boolean;
  serverStream: boolean;
}

export interface ProtoFile {
  package: string;
  /** Outermost ones. */
  messages: MessageType[];
  enums: EnumType[];
  services: { name: string; methods: Method[] }[];
  /** By full name, nested ones too. @throws OST_INTERNAL for one that the file does not have. */
  message(name: string): MessageType;
  enum(name: string): EnumType;
}

const SCALARS: ReadonlySet<string> = new Set([
  "bool",
  "int32",
  "int64",
  "uint32",
  "uint64",
  "float",
  "double",
  "string",
  "bytes",
]);

/** Reads a proto file. @throws OST_INTERNAL for what it does not know: the files are part of the program. */
export function parseProto(text: string): ProtoFile {
  const tokens = text.replace(/\/\/.*/g, "").match(/[A-Za-z_][\w.]*|\d+|"[^"]*"|[^\s\w]/g) ?? [];
  let at = 0;
  const fail = (what: string): never => {
    throw new OstinatoError("OST_INTERNAL", { what: `the proto file: ${what}`, where: tokens.slice(at - 3, at + 3).join(" ") });
  };
  const next = () => tokens[at++] ?? fail("it ends too early");
  const expect = (...wanted: string[]) => {
    for (const token of wanted) if (next() !== token) fail(`expected ${token}`);
  };
  const taken = (token: string) => tokens[at] === token && ++at > 0;
  const byName = new Map<string, MessageType>();
  const enums = new Map<string, EnumType>();
  /** Types are known once the whole file is. */
  const unresolved: (() => void)[] = [];
  const file = { package: "", messages: [] as MessageType[], enums: [] as EnumType[], services: [] as ProtoFile["services"] };

  const find = <T>(known: Map<string, T>, name: string, scope: string): T | undefined => {
    for (let outer = scope; outer !== ""; outer = outer.slice(0, Math.max(0, outer.lastIndexOf(".")))) {
      const found = known.get(`${outer}.${name}`);
      if (found) return found;
    }
    return known.get(name);
  };
  const enumeration = (scope: string): EnumType => {
    const type: EnumType = { name: `${scope}.${next()}`, values: new Map() };
    expect("{");
    while (!taken("}")) {
      const name = next();
      expect("=");
      type.values.set(name, Number(next()));
      expect(";");
    }
    enums.set(type.name, type);
    return type;
  };
  const field = (owner: MessageType, oneof: string | null): void => {
    const kind = taken("repeated") ? "list" : taken("map") ? "map" : "single";
    if (kind === "map") expect("<", "string", ",");
    const type = next();
    if (kind === "map") expect(">");
    const name = next();
    expect("=");
    const number = Number(next());
    expect(";");
    const made: Field = { name, number, type: "message", kind, typeName: "", message: null, oneof };
    owner.fields.push(made);
    owner.byNumber[number] = made;
    if (SCALARS.has(type)) {
      made.type = type as Scalar;
      return;
    }
    unresolved.push(() => {
      made.message = find(byName, type, owner.name) ?? null;
      if (!made.message) made.type = "enum";
      made.typeName = made.message?.name ?? find(enums, type, owner.name)?.name ?? fail(`no type ${type}`);
    });
  };
  const message = (scope: string): MessageType => {
    const type = new MessageType(`${scope}.${next()}`, [], []);
    byName.set(type.name, type);
    expect("{");
    while (!taken("}")) {
      if (taken("message")) type.nested.push(message(type.name));
      else if (taken("enum")) type.enums.push(enumeration(type.name));
      else if (taken("oneof")) {
        const oneof = next();
        expect("{");
        while (!taken("}")) field(type, oneof);
      } else field(type, null);
    }
    return type;
  };
  const service = (): void => {
    const made = { name: `${file.package}.${next()}`, methods: [] as Method[] };
    file.services.push(made);
    expect("{");
    while (!taken("}")) {
      expect("rpc");
      const name = next();
      expect("(");
      const clientStream = taken("stream");
      const input = next();
      expect(")", "returns", "(");
      const serverStream = taken("stream");
      const output = next();
      expect(")", "{", "}");
      unresolved.push(() => {
        const typeOf = (type: string) => find(byName, type, file.package) ?? fail(`no message ${type}`);
        made.methods.push({ name, input: typeOf(input), output: typeOf(output), clientStream, serverStream });
      });
    }
  };

  expect("syntax", "=", '"proto3"', ";", "package");
  file.package = next();
  expect(";");
  while (at < tokens.length) {
    const word = next();
    if (word === "message") file.messages.push(message(file.package));
    else if (word === "enum") file.enums.push(enumeration(file.package));
    else if (word === "service") service();
    else fail(`unknown word ${word}`);
  }
  for (const resolve of unresolved) resolve();
  const known = <T>(types: Map<string, T>, name: string) => types.get(`${file.package}.${name}`) ?? fail(`no type ${name}`);
  return { ...file, message: (name) => known(byName, name), enum: (name) => known(enums, name) };
}

const VARINT = 0;
const BITS64 = 1;
const BYTES = 2;
const BITS32 = 5;

/** Messages, texts and byte strings of one message at most: each costs more memory than bytes on the wire. */
const MAX_PARTS = 131_072;

const malformed = (what: string) =>
  new OstinatoError("OST_REQUEST", {
    what: `a malformed protobuf message: ${what}`,
    where: "message",
    repair: "see the service's proto file",
  });

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One pass over the bytes of a message. */
class Reader {
  at = 0;
  parts = 0;

  constructor(readonly bytes: Buffer) {}

  /** An unsigned integer of up to 64 bits. */
  varint(end: number): Whole {
    const { bytes } = this;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 7; i++) {
      if (this.at >= end) throw malformed("it ends within a number");
      const byte = bytes[this.at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    let wide = BigInt(value);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      if (this.at >= end) throw malformed("it ends within a number");
      const byte = bytes[this.at++];
      wide |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return exact(BigInt.asUintN(64, wide));
    }
    throw malformed("a number of more than 64 bits");
  }

  /** Where the bytes that follow, behind their length, end. */
  span(end: number): number {
    const length = this.varint(end);
    if (typeof length === "bigint" || length > end - this.at) throw malformed("it ends within a field");
    return this.at + length;
  }

  skip(wire: number, end: number): void {
    if (wire === VARINT) this.varint(end);
    else if (wire === BYTES) this.at = this.span(end);
    else if (wire === BITS64 || wire === BITS32) {
      this.at += wire === BITS64 ? 8 : 4;
      if (this.at > end) throw malformed("it ends within a field");
    } else throw malformed(`wire type ${wire}`);
  }

  message(type: MessageType, end: number): Message {
    if (++this.parts > MAX_PARTS) throw malformed(`more than ${MAX_PARTS} parts`);
    const message: Message = {};
    while (this.at < end) {
      const key = this.varint(end);
      if (typeof key === "bigint" || key < 8 || key > 0xffffffff) throw malformed("a field without a number");
      const wire = key & 7;
      const field = type.byNumber[key >>> 3];
      if (field === undefined) this.skip(wire, end);
      else if (field.kind === "map") this.entry(field, message, wire, end);
      else if (field.kind === "list") this.element(field, message, wire, end);
      else if (wire !== WIRES[field.type]) this.skip(wire, end);
      else {
        if (field.oneof !== null) dropOthers(type, field, message);
        message[field.name] = this.value(field, end);
      }
    }
    return message;
  }

  element(field: Field, message: Message, wire: number, end: number): void {
    const own = WIRES[field.type];
    const list = (message[field.name] ??= []) as unknown[];
    if (wire === own) list.push(this.value(field, end));
    else if (wire === BYTES) {
      const packedEnd = this.span(end);
      while (this.at < packedEnd) list.push(this.value(field, packedEnd));
    } else this.skip(wire, end);
  }

  entry(field: Field, message: Message, wire: number, end: number): void {
    if (wire !== BYTES) {
      this.skip(wire, end);
      return;
    }
    if (++this.parts > MAX_PARTS) throw malformed(`more than ${MAX_PARTS} parts`);
    const entryEnd = this.span(end);
    let key = "";
    let value: unknown = field.message ? {} : undefined;
    while (this.at < entryEnd) {
      const tag = this.varint(entryEnd);
      if (tag === ((1 << 3) | BYTES)) key = this.text(entryEnd);
      else if (tag === ((2 << 3) | WIRES[field.type])) value = this.value(field, entryEnd);
      else if (typeof tag === "bigint" || tag < 8) throw malformed("a field without a number");
      else this.skip(tag & 7, entryEnd);
    }
    const map = (message[field.name] ??= new Map()) as Map<string, unknown>;
    map.set(key, value);
  }

  value(field: Field, end: number): unknown {
    switch (field.type) {
      case "message": {
        const inner = this.span(end);
        return this.message(field.message as MessageType, inner);
      }
      case "string":
        return this.text(end);
      case "bytes": {
        if (++this.parts > MAX_PARTS) throw malformed(`more than ${MAX_PARTS} parts`);
        const to = this.span(end);
        const bytes = this.bytes.subarray(this.at, to);
        this.at = to;
        return bytes;
      }
      case "float":
      case "double": {
        const size = field.type === "float" ? 4 : 8;
        if (this.at + size > end) throw malformed("it ends within a number");
        const number = size === 4 ? this.bytes.readFloatLE(this.at) : this.bytes.readDoubleLE(this.at);
        this.at += size;
        return number;
      }
      case "bool":
        return Number(this.varint(end)) !== 0;
      case "int64":
        return signed(this.varint(end));
      case "uint64":
        return this.varint(end);
      case "uint32":
        return Number(BigInt.asUintN(32, BigInt(this.varint(end))));
      default: {
        const value = this.varint(end);
        return typeof value === "number" && value < 0x80000000 ? value : Number(BigInt.asIntN(32, BigInt(value)));
      }
    }
  }

  text(end: number): string {
    if (++this.parts > MAX_PARTS) throw malformed(`more than ${MAX_PARTS} parts`);
    const to = this.span(end);
    const { bytes, at } = this;
    this.at = to;
    if (to - at < 24) {
      let text = "";
      for (let i = at; i < to; i++) {
        if (bytes[i] >= 0x80) return this.utf8(at, to);
        text += String.fromCharCode(bytes[i]);
      }
      return text;
    }
    return this.utf8(at, to);
  }

  utf8(at: number, to: number): string {
    try {
      return UTF8.decode(this.bytes.subarray(at, to));
    } catch {
      throw malformed("a text that is not UTF-8");
    }
  }
}

/** The last of a oneof counts. Nothing is deleted that is not there: that would make the object slow. */
function dropOthers(type: MessageType, { name, oneof }: Field, message: Message): void {
  for (const other of type.fields) {
    if (other.oneof === oneof && other.name !== name && other.name in message) delete message[other.name];
  }
}

const WIRES: Record<Field["type"], number> = {
  bool: VARINT,
  int32: VARINT,
  int64: VARINT,
  uint32: VARINT,
  uint64: VARINT,
  enum: VARINT,
  float: BITS32,
  double: BITS64,
  string: BYTES,
  bytes: BYTES,
  message: BYTES,
};

function exact(value: bigint): Whole {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function signed(value: Whole): Whole {
  return typeof value === "number" ? value : exact(BigInt.asIntN(64, value));
}

/** @throws OST_REQUEST for bytes that are no message of the type. */
export function decodeMessage(type: MessageType, bytes: Buffer): Message {
  return new Reader(bytes).message(type, bytes.length);
}

/** Writes from the end, so that a message's length is known before it is written. */
class Writer {
  bytes = Buffer.allocUnsafe(512);
  at = this.bytes.length;

  reserve(size: number): void {
    if (this.at >= size) return;
    const used = this.bytes.length - this.at;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, used + size));
    this.bytes.copy(grown, grown.length - used, this.at);
    this.bytes = grown;
    this.at = grown.length - used;
  }

  /** @param value 0 <= value < 2^53, or a bigint of 64 bits, negative ones too. */
  varint(value: Whole): void {
    if (typeof value === "number" && value >= 0 && value < 128) {
      this.reserve(1);
      this.bytes[--this.at] = value;
      return;
    }
    this.reserve(10);
    const parts: number[] = [];
    if (typeof value === "number" && value >= 0) {
      let rest = value;
      for (; rest >= 128; rest = Math.floor(rest / 128)) parts.push((rest % 128) | 0x80);
      parts.push(rest);
    } else {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest >= 128n; rest >>= 7n) parts.push(Number(rest & 0x7fn) | 0x80);
      parts.push(Number(rest));
    }
    this.at -= parts.length;
    for (const [i, part] of parts.entries()) this.bytes[this.at + i] = part;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.at -= bytes.length;
    this.bytes.set(bytes, this.at);
  }

  text(text: string): void {
    const size = Buffer.byteLength(text, "utf8");
    this.reserve(size);
    this.at -= size;
    this.bytes.write(text, this.at, size, "utf8");
  }

  message(type: MessageType, message: Message): void {
    for (let f = type.fields.length - 1; f >= 0; f--) {
      const field = type.fields[f];
      const value = message[field.name];
      if (value === undefined || value === null) continue;
      if (field.kind === "single") {
        if (field.oneof !== null || field.type === "message" || !isDefault(value)) this.tagged(field, field.number, value);
      } else if (field.kind === "map") {
        for (const [key, held] of [...(value as Map<string, unknown>)].reverse()) {
          const end = this.bytes.length - this.at;
          this.tagged(field, 2, held);
          const size = this.bytes.length - this.at;
          this.text(key);
          this.head(1, this.bytes.length - this.at - size);
          this.head(field.number, this.bytes.length - this.at - end);
        }
      } else this.list(field, value as ArrayLike<unknown>);
    }
  }

  list(field: Field, list: ArrayLike<unknown>): void {
    if (list.length === 0) return;
    const packed = WIRES[field.type] !== BYTES;
    const end = this.bytes.length - this.at;
    for (let i = list.length - 1; i >= 0; i--) {
      if (packed) this.value(field, list[i]);
      else this.tagged(field, field.number, list[i]);
    }
    if (packed) this.head(field.number, this.bytes.length - this.at - end);
  }

  /** Before bytes that are written already: their length and field. */
  head(number: number, length: number): void {
    this.varint(length);
    this.varint((number << 3) | BYTES);
  }

  tagged(field: Field, number: number, value: unknown): void {
    const end = this.bytes.length - this.at;
    this.value(field, value);
    const wire = WIRES[field.type];
    if (wire === BYTES) this.varint(this.bytes.length - this.at - end);
    this.varint((number << 3) | wire);
  }

  value(field: Field, value: unknown): void {
    switch (field.type) {
      case "message":
        this.message(field.message as MessageType, value as Message);
        break;
      case "string":
        this.text(value as string);
        break;
      case "bytes":
        this.raw(value as Uint8Array);
        break;
      case "float":
        this.reserve(4);
        this.at -= 4;
        this.bytes.writeFloatLE(value as number, this.at);
        break;
      case "double":
        this.reserve(8);
        this.at -= 8;
        this.bytes.writeDoubleLE(value as number, this.at);
        break;
      case "bool":
        this.varint(value ? 1 : 0);
        break;
      default:
        this.varint(value as Whole);
    }
  }
}

const isDefault = (value: unknown) =>
  value === 0 || value === "" || value === false || value === 0n || (value instanceof Uint8Array && value.length === 0);

/** Bytes of a message; integers must fit their fields. */
export function encodeMessage(type: MessageType, message: Message): Buffer {
  const writer = new Writer();
  writer.message(type, message);
  return writer.bytes.subarray(writer.at);
}
