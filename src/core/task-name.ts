/** @file The patterns of prediction, by name. */
export const TASK_NAMES = ["forecast", "classify", "tag", "language", "translate", "transcribe", "detect"] as const;
export type TaskName = (typeof TASK_NAMES)[number];
