/**
 * Writes the JSON Schema of a configuration to schema/config.json, from the schema that the program validates with.
 *
 *     npm run schema
 */
import { writeFileSync } from "node:fs";
import { configJsonSchema } from "../src/tasks/config.js";

writeFileSync(new URL("config.json", import.meta.url), `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
console.log("schema/config.json is as the program validates");
