/**
 * What callers give, as plain JavaScript may: everything that is not what the types say is refused by name, before it
 * becomes a TypeError from within, or is sent as something else.
 */
import { clockOrLogProblem, shown } from "../base/given-values.js";
import { type OptionNames, optionNamesProblem } from "../base/option-names.js";
import { configError } from "./errors.js";
import type { MessageQueue } from "./message-queue.js";

/** Throws COMETMQ_CONFIG for an option that nobody would look at, and for what is no object of options. */
export function checkNames<Options>(where: string, options: Options, known: OptionNames<Options>): void {
  const problem = optionNamesProblem(where, options, known);
  if (problem !== undefined) throw configError(problem);
}

/** The options of one call of `where`: their names, its signal and time limit. What is left out has been filled in. */
export function checkCall<Options extends { readonly signal?: unknown; readonly timeoutMs?: unknown }>(
  where: string,
  options: Options,
  known: OptionNames<Options>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw configError(`The options of ${where} are ${shown(options)}, no object.`);
  // The usual call has no options, and a send should not pay for a list of none.
  for (const name in options) {
    if (known[name] === true) continue;
    checkNames(where, options, known);
  }
  const { signal, timeoutMs } = options as { signal?: unknown; timeoutMs?: unknown };
  checkSignal(signal);
  if (timeoutMs !== undefined && (typeof timeoutMs !== "number" || Number.isNaN(timeoutMs)))
    throw configError(`timeoutMs is ${shown(timeoutMs)}, no number.`);
}

export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const given = signal as Partial<AbortSignal> | null;
  // Not by its class: another realm's, or a library's, will do.
  if (typeof given?.throwIfAborted !== "function" || typeof given.addEventListener !== "function")
    throw configError(`signal is ${shown(signal)}, no AbortSignal.`);
}

/** `value`, or `byDefault`; COMETMQ_CONFIG unless it is an integer of at least `min`. */
export function positive(name: string, value: number | undefined, byDefault: number, min = 1): number {
  const chosen = value ?? byDefault;
  if (!Number.isSafeInteger(chosen) || chosen < min)
    throw configError(`${name} is ${shown(chosen)}, not an integer from ${min} on.`);
  return chosen;
}

/** `value`, or `byDefault`: "false" is a text that counts as true elsewhere. */
export function yesOrNo(name: string, value: boolean | undefined, byDefault: boolean): boolean {
  const chosen = value ?? byDefault;
  if (typeof chosen !== "boolean") throw configError(`${name} is ${shown(chosen)}, neither true nor false.`);
  return chosen;
}

/** `value` where it is given, a text that is not empty. */
export function textIfGiven(name: string, value: string | undefined): string | undefined {
  if (value !== undefined && (typeof value !== "string" || value === ""))
    throw configError(`${name} is ${shown(value)}, not a text that says something.`);
  return value;
}

export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") throw configError(`${name} is no function.`);
}

/** Milliseconds since 1970. Other texts than numbers are none: a date may be meant in whatever zone. */
export function timeMs(name: string, value: number | Date): number {
  const isTime = typeof value === "number" || value instanceof Date;
  const time = isTime ? Number(value) : Number.NaN;
  if (Number.isNaN(time)) throw configError(`${name} is ${shown(value)}, neither a number of milliseconds nor a Date.`);
  return time;
}

export function checkList(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw configError(`${name} is ${shown(value)}, no list.`);
}

export function checkQueue(name: string, queue: MessageQueue): void {
  const { topic, brokerName, queueId } = (queue ?? {}) as Partial<MessageQueue>;
  const isQueue = typeof topic === "string" && typeof brokerName === "string" && Number.isSafeInteger(queueId);
  if (!isQueue) throw configError(`${name} is ${shown(queue)}, no queue: { topic, brokerName, queueId }.`);
}

/** Throws COMETMQ_CONFIG for a clock or logger that lacks what it is asked for. */
export function checkTools(options: { readonly clock?: unknown; readonly log?: unknown }): void {
  const problem = clockOrLogProblem(options);
  if (problem !== undefined) throw configError(problem);
}
