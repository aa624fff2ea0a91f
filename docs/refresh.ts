/**
 * Puts the present messages of the error samples into docs/reference/errors.md; the prose around them stays.
 *
 *     npm run docs
 */
import { readFileSync, writeFileSync } from "node:fs";
import { ERROR_CODES, type ErrorCode } from "../src/core/errors.js";
import { sampleMessage } from "../test/support/error-samples.js";

const path = new URL("reference/errors.md", import.meta.url);
let text = readFileSync(path, "utf8");
for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
  const block = new RegExp(`(### ${code}\\n[^#]*?\`\`\`text\\n)[\\s\\S]*?(\\n\`\`\`)`);
  const message = await sampleMessage(code);
  text = text.replace(block, (_, before, after) => before + message + after);
}
writeFileSync(path, text);
console.log("docs/reference/errors.md shows the present messages");
