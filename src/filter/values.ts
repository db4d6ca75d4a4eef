/** Values against each other, as `compareTo` of Java's types has it after the conversions of ComparisonExpression. */
import type { NumberNode } from "./expression.js";
import { parseJavaDouble, parseJavaInteger } from "./java-numbers.js";
import type { StringOperand } from "./operand.js";

/** A text was no number of the type that it is compared with. */
export const INCOMPARABLE = 2;
export type Comparison = -1 | 0 | 1 | typeof INCOMPARABLE;

export function compareStringToNumber(text: StringOperand, { kind, value }: NumberNode): Comparison {
  if (kind === "double") {
    const parsed = parseJavaDouble(text.bytes, text.start, text.end);
    return parsed === undefined ? INCOMPARABLE : compareDoubles(parsed, value as number);
  }
  const parsed = parseJavaInteger(text.bytes, text.start, text.end, kind);
  if (parsed === undefined) return INCOMPARABLE;
  if (parsed < value) return -1;
  return parsed > value ? 1 : 0;
}

export function compareStringsAsDoubles(a: StringOperand, b: StringOperand): Comparison {
  const left = parseJavaDouble(a.bytes, a.start, a.end);
  const right = parseJavaDouble(b.bytes, b.start, b.end);
  return left === undefined || right === undefined ? INCOMPARABLE : compareDoubles(left, right);
}

/** An int and a long meet as longs; with a double both are doubles. */
export function compareNumbers(a: NumberNode, b: NumberNode): Comparison {
  if (a.kind === "double" || b.kind === "double") return compareDoubles(Number(a.value), Number(b.value));
  if (a.value < b.value) return -1;
  return a.value > b.value ? 1 : 0;
}

/** NaN is the largest and equal to itself, and -0 is less than 0. */
function compareDoubles(a: number, b: number): Comparison {
  if (a < b) return -1;
  if (a > b) return 1;
  if (Object.is(a, b)) return 0;
  if (Number.isNaN(b)) return -1;
  return Number.isNaN(a) || Object.is(b, -0) ? 1 : -1;
}

export function equalStrings(a: StringOperand, b: StringOperand): boolean {
  return a.end - a.start === b.end - b.start && startsWithAt(a.bytes, a.start, b.bytes, b.start, b.end);
}

/** Whether `bytes` has at `at` what lies in `other[start, end)`. The caller has seen to it that there is room. */
export function startsWithAt(bytes: Buffer, at: number, other: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[at + i - start] !== other[i]) return false;
  return true;
}

/** `Boolean.valueOf(String)`. */
export function isTrueString({ bytes, start, end }: StringOperand): boolean {
  return end - start === 4 && bytes.toString("latin1", start, end).toLowerCase() === "true";
}
