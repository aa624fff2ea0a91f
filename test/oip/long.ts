/** protobufjs finds no integers of 64 bits where modules are resolved as imports, as in these tests; without them it would round ids. */
import Long from "long";

Object.assign(globalThis, { Long });
