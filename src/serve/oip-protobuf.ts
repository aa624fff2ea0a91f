/**
 * @file Messages of a proto file to and from bytes, by protobufjs; and what a server must add to it: a bound on what a message of few bytes
 * may take of memory, texts that are UTF-8, and integers of 64 bits that are never rounded.
 *
 * A message is an object of its fields, under their names in the file; an absent one reads as its type's default. Lists are arrays and maps
 * are objects. protobufjs makes its readers and writers with `Function`, from the proto file alone, when the server starts.
 */
import { isUtf8 } from "node:buffer";
import Long from "long";
import protobuf, { type Type } from "protobufjs";
import { OstinatoError } from "../core/errors.js";

// It does not find the integers by itself in every loader of modules, and would then round.
protobuf.util.Long = Long;
protobuf.configure();

export type Message = { [field: string]: unknown };
export type MessageType = Type;
/** An integer of 64 bits: a bigint beyond +-(2^53 - 1). */
export type Whole = number | bigint;

export interface Method {
  name: string;
  input: MessageType;
  output: MessageType;
  clientStream: boolean;
  serverStream: boolean;
}

export interface ProtoFile {
  root: protobuf.Root;
  /** Full names of what is outermost in it: services, messages, enums. */
  symbols: string[];
  /** With their package. */
  services: { name: string; methods: Method[] }[];
  /** By full name within the package. @throws Error for one that the file does not have. */
  message(name: string): MessageType;
  /** Numbers by name. */
  enum(name: string): { readonly [name: string]: number };
}

/** Reads a proto file of one package. @throws Error for one that is none: the files are part of the program. */
export function parseProto(text: string): ProtoFile {
  const root = new protobuf.Root();
  const { package: name } = protobuf.parse(text, root, { keepCase: true });
  const scope = name === undefined ? null : root.lookup(name);
  if (!(scope instanceof protobuf.Namespace)) throw new Error("a proto file without a package");
  root.resolveAll();
  countMessages(scope);
  const services = scope.nestedArray.filter((one) => one instanceof protobuf.Service);
  return {
    root,
    symbols: scope.nestedArray.map(({ fullName }) => fullName.slice(1)),
    services: services.map((service) => ({
      name: service.fullName.slice(1),
      methods: service.methodsArray.map(({ name, requestType, responseType, requestStream, responseStream }) => ({
        name,
        input: service.lookupType(requestType),
        output: service.lookupType(responseType),
        clientStream: requestStream === true,
        serverStream: responseStream === true,
      })),
    })),
    message: (name) => scope.lookupType(name),
    enum: (name) => scope.lookupEnum(name).values,
  };
}

/** Messages, texts and byte strings of one message at most: each costs more memory than bytes on the wire. */
const MAX_PARTS = 131_072;

const malformed = (what: string, cause?: unknown) =>
  new OstinatoError(
    "OST_REQUEST",
    { what: `a malformed protobuf message: ${what}`, where: "message", repair: "see the service's proto file" },
    { cause },
  );

class Reader extends protobuf.BufferReader {
  parts = 0;

  count(): void {
    if (++this.parts > MAX_PARTS) throw malformed(`more than ${MAX_PARTS} parts`);
  }

  override bytes(): Uint8Array {
    this.count();
    return super.bytes();
  }

  override string(): string {
    const bytes = this.bytes() as Buffer;
    // Two texts that are not UTF-8 would else be read as one.
    if (!isUtf8(bytes)) throw malformed("a text that is not UTF-8");
    return bytes.toString("utf8");
  }

  override int64(): protobuf.Long {
    return this.whole(super.int64() as Long);
  }

  override uint64(): protobuf.Long {
    return this.whole(super.uint64() as Long);
  }

  /** @returns a `Whole`, whatever protobufjs calls it. */
  whole(long: Long): protobuf.Long {
    if (this.buf[this.pos - 1] >= 128) throw malformed("it ends within a number");
    const number = long.toNumber();
    return (Number.isSafeInteger(number) ? number : long.toBigInt()) as unknown as protobuf.Long;
  }
}

/** Has every message count when it is read, within others too. */
function countMessages(scope: protobuf.NamespaceBase): void {
  for (const type of scope.nestedArray) {
    if (type instanceof protobuf.Namespace) countMessages(type);
    if (!(type instanceof protobuf.Type)) continue;
    const { decode } = type.setup();
    type.decode = (reader, ...rest) => {
      (reader as Reader).count();
      return decode.call(type, reader, ...rest);
    };
  }
}

/** Byte strings in it are views of `bytes`. @throws OST_REQUEST for bytes that are no message of the type. */
export function decodeMessage(type: MessageType, bytes: Buffer): Message {
  const reader = new Reader(bytes);
  try {
    const message = type.decode(reader);
    if (reader.pos === bytes.length) return message as unknown as Message;
  } catch (error) {
    throw error instanceof OstinatoError ? error : malformed((error as Error).message, error);
  }
  throw malformed("it ends within a field");
}

class Writer extends protobuf.BufferWriter {
  override int64(value: Whole | protobuf.Long | string): protobuf.Writer {
    return super.int64(typeof value === "bigint" ? String(value) : value);
  }

  override uint64(value: Whole | protobuf.Long | string): protobuf.Writer {
    return super.uint64(typeof value === "bigint" ? String(value) : value);
  }
}

/** Bytes of a message; integers must fit their fields. Fields that are undefined or null are left out, and none else. */
export function encodeMessage(type: MessageType, message: Message): Buffer {
  return type.encode(message, new Writer()).finish() as Buffer;
}
