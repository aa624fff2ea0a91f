/** @file gRPC server reflection: the proto files that this server speaks, described so that tools can call it without having them. */
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor/index.js";
import { GRPC_STATUS } from "./oip-error.js";
import type { Message, ProtoFile } from "./oip-protobuf.js";

/** The `FileDescriptorProto` of a file. */
export function describeFile({ root }: ProtoFile): IFileDescriptorProto {
  const [file] = root.toDescriptor("proto3").file as IFileDescriptorProto[];
  for (const message of file.messageType ?? []) nameEntries(message);
  return file;
}

/** protobufjs calls the messages that maps are made of by the field; protoc, which tools check it against, `...Entry`. */
function nameEntries({ field: fields = [], nestedType = [] }: IDescriptorProto): void {
  for (const nested of nestedType) {
    nameEntries(nested);
    if (!nested.options?.mapEntry) continue;
    const { name } = nested;
    nested.name = `${name}Entry`;
    for (const field of fields) if (field.typeName === name) field.typeName = nested.name;
  }
}

/** Answers requests of `ServerReflectionInfo` about files; no file of ours imports another. */
export function reflection(files: readonly ProtoFile[]): (request: Message) => Message {
  /** A symbol is of a file if it is outermost in it, or within one that is. Not looked up in `root`, which remembers what it is asked. */
  const holds = ({ symbols }: ProtoFile, symbol: string) =>
    symbols.some((name) => symbol === name || symbol.startsWith(`${name}.`));
  const described = files.map((file) => {
    const facts = describeFile(file);
    return { file, name: facts.name, bytes: descriptor.FileDescriptorProto.encode(facts).finish() };
  });
  return (request) => {
    const answer: Message = { valid_host: request.host, original_request: request };
    const { message_request: asked, file_by_filename: name, file_containing_symbol: symbol } = request;
    if (asked === "list_services") {
      const service = files.flatMap(({ services }) => services.map(({ name }) => ({ name })));
      return { ...answer, list_services_response: { service } };
    }
    const found = described.find((one) =>
      asked === "file_by_filename" ? one.name === name : asked === "file_containing_symbol" && holds(one.file, symbol as string),
    );
    if (found) return { ...answer, file_descriptor_response: { file_descriptor_proto: [found.bytes] } };
    return { ...answer, error_response: { error_code: GRPC_STATUS.NOT_FOUND, error_message: "no such file or symbol" } };
  };
}
