/** @file The two shapes of network: from a sequence to outputs along it, and from a sequence to another one. */
import { OstinatoError } from "../core/errors.js";
import type { EncoderDecoder, SequenceModel } from "../nn/index.js";

export type Network = SequenceModel | EncoderDecoder;

export function isEncoderDecoder(network: Network): network is EncoderDecoder {
  return "encode" in network;
}

/** Whether outputs depend on nothing later than the step they belong to, so that the network can be stepped through a stream. */
export function isCausal(network: Network): boolean {
  return !isEncoderDecoder(network) && network.causal;
}

/** The network as one of outputs along its input. @throws OST_CONFIG for an encoder-decoder. */
export function sequenceModel(network: Network): SequenceModel {
  if (!isEncoderDecoder(network)) return network;
  throw new OstinatoError("OST_CONFIG", {
    what: "an encoder-decoder gives no output along its input",
    expected: "a recurrent network",
    got: "an encoder-decoder",
    repair: "use task: translate",
  });
}

/** The network as an encoder-decoder. @throws OST_CONFIG for any other. */
export function encoderDecoder(network: Network): EncoderDecoder {
  if (isEncoderDecoder(network)) return network;
  throw new OstinatoError("OST_CONFIG", {
    what: "the network gives no sequence of its own",
    expected: "an encoder-decoder",
    got: "a recurrent network",
    repair: "use the task it was trained for",
  });
}
