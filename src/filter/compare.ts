/**
 * The conditions that compare. They answer what the classes in filter/expression/ComparisonExpression.java answer,
 * exceptions included, which are Truth.ERROR:
 *
 * - A property is a string. Against a number it is read as one of the number's own type, so `5.5` against `5` is an
 *   error; two properties have an order only as doubles and are equal only as strings.
 * - `=` with a missing left side is NULL, with a missing right side FALSE, and with both missing TRUE.
 * - A boolean on the left of a string is an error; on its right the string is taken for true or false.
 */
import type { OrderSymbol, SearchKind } from "./expression.js";
import { type NumberOperand, type Operand, Presence, type PropertyOperand, type StringOperand } from "./operand.js";
import { type Condition, Truth } from "./truth.js";
import {
  type Comparison,
  compareNumbers,
  compareStringsAsDoubles,
  compareStringToNumber,
  equalStrings,
  INCOMPARABLE,
  isTrueString,
  startsWithAt,
} from "./values.js";

const truthOf = (value: boolean): Truth => (value ? Truth.TRUE : Truth.FALSE);

/** IS NULL. */
export function nullCondition(operand: Operand): Condition {
  return (bytes) => {
    const presence = operand.load(bytes);
    return presence === Presence.ERROR ? Truth.ERROR : truthOf(presence === Presence.NULL);
  };
}

export function equalCondition(left: Operand, right: Operand): Condition {
  const compare = equality(left, right);
  return (bytes) => {
    const ofLeft = left.load(bytes);
    if (ofLeft === Presence.ERROR) return Truth.ERROR;
    const ofRight = right.load(bytes);
    if (ofRight === Presence.ERROR) return Truth.ERROR;
    if (ofLeft === Presence.NULL) return ofRight === Presence.NULL ? Truth.TRUE : Truth.NULL;
    return ofRight === Presence.NULL ? Truth.FALSE : compare();
  };
}

/** For loaded operands that both have a value. */
function equality(left: Operand, right: Operand): () => Truth {
  if (left.type === "condition") {
    if (right.type === "condition") return () => truthOf(left.value === right.value);
    return right.type === "text" ? () => Truth.ERROR : () => Truth.FALSE;
  }
  if (right.type === "condition") {
    return left.type === "text" ? () => truthOf(isTrueString(left) === right.value) : () => Truth.FALSE;
  }
  if (left.type === "text" && right.type === "text") return () => truthOf(equalStrings(left, right));
  return orderOf(left, right, (comparison) => comparison === 0);
}

export function orderCondition(symbol: OrderSymbol, left: Operand, right: Operand): Condition {
  const compare = orderOf(left, right, ORDERS[symbol]);
  return (bytes) => {
    const ofLeft = left.load(bytes);
    if (ofLeft !== Presence.VALUE) return ofLeft === Presence.ERROR ? Truth.ERROR : Truth.NULL;
    const ofRight = right.load(bytes);
    if (ofRight !== Presence.VALUE) return ofRight === Presence.ERROR ? Truth.ERROR : Truth.NULL;
    return compare();
  };
}

const ORDERS: Readonly<Record<OrderSymbol, (comparison: Comparison) => boolean>> = {
  "<": (comparison) => comparison < 0,
  "<=": (comparison) => comparison <= 0,
  ">": (comparison) => comparison > 0,
  ">=": (comparison) => comparison >= 0,
};

function orderOf(left: Operand, right: Operand, holds: (comparison: Comparison) => boolean): () => Truth {
  const judge = (comparison: Comparison) => (comparison === INCOMPARABLE ? Truth.ERROR : truthOf(holds(comparison)));
  if (left.type === "text") {
    if (right.type === "text") return () => judge(compareStringsAsDoubles(left, right));
    if (right.type === "number") return () => judge(compareStringToNumber(left, right.number));
  }
  if (left.type === "number") {
    if (right.type === "text") return () => judge(numberToString(left, right));
    if (right.type === "number") return () => judge(compareNumbers(left.number, right.number));
  }
  // One of them is a VoidOperand, which is never compared.
  return () => Truth.ERROR;
}

function numberToString({ number }: NumberOperand, text: StringOperand): Comparison {
  const comparison = compareStringToNumber(text, number);
  return comparison === INCOMPARABLE ? comparison : ((0 - comparison) as Comparison);
}

export function searchCondition(kind: SearchKind, operand: Operand, text: string, inverted: boolean): Condition {
  // Apache does not even look at the operand when there is nothing to search for.
  if (text === "") return () => Truth.FALSE;
  const wanted = Buffer.from(text, "utf8");
  const holds = SEARCHES[kind];
  return (bytes) => {
    const presence = operand.load(bytes);
    if (presence === Presence.ERROR) return Truth.ERROR;
    if (presence === Presence.NULL || operand.type !== "text") return Truth.FALSE;
    return truthOf(holds(operand, wanted) !== inverted);
  };
}

const SEARCHES: Readonly<Record<SearchKind, (text: StringOperand, wanted: Buffer) => boolean>> = {
  contains: ({ bytes, start, end }, wanted) =>
    end - start >= wanted.length && bytes.subarray(start, end).indexOf(wanted) >= 0,
  startsWith: ({ bytes, start, end }, wanted) =>
    end - start >= wanted.length && startsWithAt(bytes, start, wanted, 0, wanted.length),
  endsWith: ({ bytes, start, end }, wanted) =>
    end - start >= wanted.length && startsWithAt(bytes, end - wanted.length, wanted, 0, wanted.length),
};

export function inCondition(property: PropertyOperand, texts: readonly string[], inverted: boolean): Condition {
  const byLength = new Map<number, Buffer[]>();
  for (const text of new Set(texts)) {
    const bytes = Buffer.from(text, "utf8");
    const known = byLength.get(bytes.length);
    if (known === undefined) byLength.set(bytes.length, [bytes]);
    else known.push(bytes);
  }
  return (bytes) => {
    if (property.load(bytes) !== Presence.VALUE) return Truth.NULL;
    const { start, end } = property;
    const candidates = byLength.get(end - start);
    const found = candidates?.some((text) => startsWithAt(bytes, start, text, 0, text.length)) ?? false;
    return truthOf(found !== inverted);
  };
}
