/**
 * @file The bank: deliberately broken pipelines and honest ones, with what an audit must say of each.
 */
import { clean } from "./clean.js";
import type { BankEntry } from "./entry.js";
import { fitting } from "./fitting.js";
import { labelling } from "./labelling.js";
import { lookAhead } from "./look-ahead.js";
import { proxy } from "./proxy.js";
import { splitting } from "./splitting.js";

export { type BankEntry, type Expectation, STATUSES, type Status } from "./entry.js";

export const bank: readonly BankEntry[] = [...lookAhead, ...fitting, ...splitting, ...proxy, ...labelling, ...clean];
