/**
 * @file A character language model in 40 lines of library code: a 1x128 LSTM, one epoch, state carried from chunk to chunk.
 *
 *     npx tsx --conditions=ostinato-source examples/language/shakespeare.ts input.txt
 *
 * Prints the validation cross-entropy in nats per character on the last tenth of the text (Witten-Bell trigram: 2.049).
 */
import { readFileSync } from "node:fs";
import { seed } from "ostinato/core";
import { crossEntropy } from "ostinato/losses";
import { Embedding, Linear, LSTM, Module, type State } from "ostinato/nn";
import { Adam } from "ostinato/optim";
import { inference, integers } from "ostinato/tensor";
import { train } from "ostinato/train";

const text = readFileSync(process.argv[2] ?? "input.txt", "utf8");
const vocabulary = [...new Set(text)].sort();
const index = new Map(vocabulary.map((character, i) => [character, i]));
const tokens = Int32Array.from(text, (character) => index.get(character) as number);
const cut = Math.floor(tokens.length * 0.9);

class NextCharacter extends Module {
  readonly causal = true;
  readonly embedding = new Embedding(vocabulary.length, 64, { rng });
  readonly lstm = new LSTM(64, 128, { rng });
  readonly head = new Linear(128, vocabulary.length, { rng });
  readonly stateSpec = this.lstm.stateSpec;
  initialState = (batchSize: number) => this.lstm.initialState(batchSize);
  forward(x: ReturnType<typeof integers>, options: { state?: State } = {}) {
    const { output, last, state } = this.lstm.forward(this.embedding.forward(x), options);
    return { output: this.head.forward(output), last: this.head.forward(last), state };
  }
}

/** Lanes side by side through the text: chunk c of lane b follows chunk c - 1 of lane b, and each target is the next character. */
function* chunks(from: number, to: number, lanes = 32, time = 64) {
  const span = Math.floor((to - from - 1) / lanes);
  for (let at = 0; at + time <= span; at += time) {
    const lane = (b: number, shift: number) => tokens.subarray(from + b * span + at + shift, from + b * span + at + shift + time);
    const pick = (shift: number) => integers(Array.from({ length: lanes }, (_, b) => [...lane(b, shift)]).flat(), [lanes, time]);
    yield { x: () => pick(0), y: () => pick(1) };
  }
}

const rng = seed(7);
const model = new NextCharacter();
const loss = ({ x, y }: { x: () => ReturnType<typeof integers>; y: () => ReturnType<typeof integers> }, state?: State) => {
  const result = model.forward(x(), { state });
  return { loss: crossEntropy(result.output, y()), state: result.state };
};
await train(model, {
  optimizer: new Adam(model.parameters(), { learningRate: 4e-3 }),
  data: () => chunks(0, cut),
  objective: (batch, { state }) => loss(batch, state),
  epochs: 1,
  clipNorm: 5,
  onProgress: ({ step, loss: value, stepsPerSecond }) =>
    step % 50 === 0 && console.error(`step ${step}  loss ${value.toFixed(3)}  ${stepsPerSecond.toFixed(1)} steps/s`),
});
let total = 0;
let count = 0;
for (const batch of chunks(cut, tokens.length, 8, 512)) {
  total += inference(() => loss(batch).loss.item());
  count++;
}
console.log(JSON.stringify({ characters: tokens.length, vocabulary: vocabulary.length, validationNats: total / count }));
