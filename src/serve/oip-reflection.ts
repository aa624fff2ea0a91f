/** @file gRPC server reflection: the proto files that this server speaks, described so that tools can call it without having them. */
import { DESCRIPTOR_PROTO } from "./inference.proto.js";
import { GRPC_STATUS } from "./oip-error.js";
import {
  type EnumType,
  encodeMessage,
  type Field,
  type Message,
  type MessageType,
  type ProtoFile,
  parseProto,
} from "./oip-protobuf.js";

const DESCRIPTOR = parseProto(DESCRIPTOR_PROTO);
/** Numbers of descriptor.proto's `Type` and `Label`. */
const TYPES = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  bool: 8,
  string: 9,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
};
const OPTIONAL = 1;
const REPEATED = 3;

const shortName = (name: string) => name.slice(name.lastIndexOf(".") + 1);

/** `model_name` -> `modelName`, as protobuf's JSON form has it. */
const jsonName = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** As protoc names the messages that maps are made of. */
function entryName({ name }: Field): string {
  const camel = jsonName(name);
  return `${camel[0].toUpperCase()}${camel.slice(1)}Entry`;
}

function fieldMessage(field: Field, oneofs: readonly string[], owner: string): Message {
  const { name, number, kind, type, typeName, oneof } = field;
  const isMap = kind === "map";
  const reference = isMap ? `.${owner}.${entryName(field)}` : typeName && `.${typeName}`;
  return {
    name,
    number,
    label: kind === "single" ? OPTIONAL : REPEATED,
    type: isMap ? TYPES.message : TYPES[type],
    type_name: reference,
    oneof_index: oneof === null ? undefined : oneofs.indexOf(oneof),
    json_name: jsonName(name),
  };
}

function entryMessage(field: Field): Message {
  const value = { name: "value", number: 2, label: OPTIONAL, type: TYPES[field.type], json_name: "value" };
  return {
    name: entryName(field),
    field: [
      { name: "key", number: 1, label: OPTIONAL, type: TYPES.string, json_name: "key" },
      field.typeName ? { ...value, type_name: `.${field.typeName}` } : value,
    ],
    options: { map_entry: true },
  };
}

function messageMessage(type: MessageType): Message {
  const oneofs = [...new Set(type.fields.flatMap(({ oneof }) => (oneof === null ? [] : [oneof])))];
  const maps = type.fields.filter(({ kind }) => kind === "map");
  return {
    name: shortName(type.name),
    field: type.fields.map((field) => fieldMessage(field, oneofs, type.name)),
    nested_type: [...type.nested.map(messageMessage), ...maps.map(entryMessage)],
    enum_type: type.enums.map(enumMessage),
    oneof_decl: oneofs.map((name) => ({ name })),
  };
}

function enumMessage({ name, values }: EnumType): Message {
  return { name: shortName(name), value: [...values].map(([value, number]) => ({ name: value, number })) };
}

function fileName({ package: name }: ProtoFile): string {
  return `${name.replaceAll(".", "/")}.proto`;
}

/** Bytes of a FileDescriptorProto. */
export function describeFile(file: ProtoFile): Buffer {
  return encodeMessage(DESCRIPTOR.message("FileDescriptorProto"), {
    name: fileName(file),
    package: file.package,
    message_type: file.messages.map(messageMessage),
    enum_type: file.enums.map(enumMessage),
    service: file.services.map(({ name, methods }) => ({
      name: shortName(name),
      method: methods.map((method) => ({
        name: method.name,
        input_type: `.${method.input.name}`,
        output_type: `.${method.output.name}`,
        client_streaming: method.clientStream,
        server_streaming: method.serverStream,
      })),
    })),
    syntax: "proto3",
  });
}

/** Answers requests of `ServerReflectionInfo` about files; no file of ours imports another. */
export function reflection(files: readonly ProtoFile[]): (request: Message) => Message {
  const described = files.map((file) => ({ file, name: fileName(file), bytes: describeFile(file) }));
  /** A symbol is of a file if it is one of its services or messages, or within one. */
  const holds = ({ services, messages, enums }: ProtoFile, symbol: string) =>
    [...services, ...messages, ...enums].some(({ name }) => symbol === name || symbol.startsWith(`${name}.`));
  return (request) => {
    const answer: Message = { valid_host: request.host, original_request: request };
    if (request.list_services !== undefined) {
      const service = files.flatMap(({ services }) => services.map(({ name }) => ({ name })));
      return { ...answer, list_services_response: { service } };
    }
    const { file_by_filename: name, file_containing_symbol: symbol } = request;
    const found = described.find((one) => one.name === name || (typeof symbol === "string" && holds(one.file, symbol)));
    if (found) return { ...answer, file_descriptor_response: { file_descriptor_proto: [found.bytes] } };
    return { ...answer, error_response: { error_code: GRPC_STATUS.NOT_FOUND, error_message: "no such file or symbol" } };
  };
}
