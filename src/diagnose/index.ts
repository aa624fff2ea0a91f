export { describeTrace, type NanTrace, traceNonFinite } from "./nan-trace.js";
