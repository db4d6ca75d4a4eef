/** Values that plain JavaScript gave where others were wanted: how errors show them, and what they lack. */
import type { Clock } from "./clock.js";
import { CometError } from "./errors.js";
import type { Logger } from "./log.js";

const SHOWN_CHARS_MAX = 80;

/** One short text, whatever the value is. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > SHOWN_CHARS_MAX ? `${value.slice(0, SHOWN_CHARS_MAX)}…` : value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "a list" : "an object";
    default:
      return String(value);
  }
}

const CLOCK = ["nowMs", "monotonicMs", "schedule"] as const satisfies readonly (keyof Clock)[];
const LOGGER = ["debug", "info", "warn", "error"] as const satisfies readonly (keyof Logger)[];

/** What is wrong with a clock or logger that lacks what it is asked for, as a sentence; undefined where nothing is. */
export function clockOrLogProblem({
  clock,
  log,
}: {
  readonly clock?: unknown;
  readonly log?: unknown;
}): string | undefined {
  return lackingMethod("clock", clock, CLOCK) ?? lackingMethod("log", log, LOGGER);
}

/** Throws COMETMQ_CONFIG for it. */
export function checkClockAndLog(options: { readonly clock?: unknown; readonly log?: unknown }): void {
  const problem = clockOrLogProblem(options);
  if (problem !== undefined) throw new CometError("COMETMQ_CONFIG", problem);
}

function lackingMethod(name: string, value: unknown, methods: readonly string[]): string | undefined {
  if (value === undefined) return undefined;
  const given = value as Record<string, unknown> | null;
  const lacking = methods.find((method) => typeof given?.[method] !== "function");
  return lacking === undefined ? undefined : `${name} is ${shown(value)} without ${lacking}().`;
}
