/** @file Server-sent events (WHATWG HTML, 9.2) out of the body of an answer: `EventSource` cannot send a credential. */
import { refuse } from "./refusal.js";

const LONGEST = 4 << 20;

/** The data of each event. @throws OST_REQUEST for an event of more than 4 MiB. */
export async function* readServerEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      // A carriage return at the end may be half of a line's end.
      const whole = text.endsWith("\r") ? text.length - 1 : text.length;
      const blocks = (text.slice(0, whole).replace(/\r\n?/g, "\n") + text.slice(whole)).split("\n\n");
      text = blocks.pop() as string;
      for (const block of blocks) {
        const data = dataOf(block);
        if (data !== null) yield data;
      }
      if (text.length > LONGEST) throw refuse("OST_REQUEST", "an event without an end");
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function dataOf(block: string): string | null {
  const lines = block.split("\n").filter((line) => line === "data" || line.startsWith("data:"));
  return lines.length === 0 ? null : lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
