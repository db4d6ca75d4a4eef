/**
 * A SQL92 expression as a tree. `ExpressionBuilder` is what the parser builds it with: it refuses what Apache's parser
 * refuses for its meaning (filter/expression/{ComparisonExpression,ConstantExpression,UnaryExpression}.java), and keeps
 * nesting within bounds.
 */
import { CometError } from "../base/errors.js";

/** Java's types of number. An expression's constants are no others. */
export type NumberKind = "int" | "long" | "double";

export interface NumberNode {
  readonly type: "number";
  readonly kind: NumberKind;
  /** A bigint where a number would not be exact. */
  readonly value: number | bigint;
}

export type OrderSymbol = "<" | "<=" | ">" | ">=";
export type SearchKind = "contains" | "startsWith" | "endsWith";

export type BooleanNode =
  | { readonly type: "truth"; readonly value: boolean }
  /** NULL, which is a constant of no value. */
  | { readonly type: "nothing" }
  | { readonly type: "or" | "and"; readonly parts: readonly BooleanNode[] }
  | { readonly type: "not"; readonly operand: BooleanNode }
  /** A property that stands where a condition should. */
  | { readonly type: "cast"; readonly property: PropertyNode }
  | { readonly type: "equal"; readonly left: ExpressionNode; readonly right: ExpressionNode }
  | {
      readonly type: "order";
      readonly symbol: OrderSymbol;
      readonly left: ExpressionNode;
      readonly right: ExpressionNode;
    }
  | {
      readonly type: "between";
      readonly operand: ExpressionNode;
      readonly low: ExpressionNode;
      readonly high: ExpressionNode;
      readonly inverted: boolean;
    }
  | {
      readonly type: "search";
      readonly kind: SearchKind;
      readonly operand: ExpressionNode;
      readonly text: string;
      readonly inverted: boolean;
    }
  | {
      readonly type: "in";
      readonly property: PropertyNode;
      readonly texts: readonly string[];
      readonly inverted: boolean;
    };

export interface PropertyNode {
  readonly type: "property";
  readonly name: string;
}

export type ValueNode =
  | NumberNode
  | PropertyNode
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "negate"; readonly operand: ExpressionNode };

export type ExpressionNode = BooleanNode | ValueNode;

/** Nesting of the text, and of the tree that it becomes. */
export const DEPTH_MAX = 256;

const INT_MAX = 2147483647n;
const LONG_MAX = 9223372036854775807n;
const VALUE_TYPES: ReadonlySet<string> = new Set(["number", "property", "text", "negate"]);

function isBoolean(node: ExpressionNode): node is BooleanNode {
  return !VALUE_TYPES.has(node.type);
}

function isConstant({ type }: ExpressionNode): boolean {
  return type === "number" || type === "text" || type === "truth" || type === "nothing";
}

/** As the filter compares them: with a double both are doubles. */
function isBelow(a: NumberNode, b: NumberNode): boolean {
  if (a.kind === "double" || b.kind === "double") return Number(a.value) < Number(b.value);
  return a.value < b.value;
}

function refuse(problem: string): never {
  throw new CometError("COMETMQ_BAD_EXPRESSION", problem);
}

function requireOrdered(symbol: string, ...operands: readonly ExpressionNode[]): void {
  for (const operand of operands) {
    if (isBoolean(operand) || operand.type === "text") {
      refuse(`${symbol} takes numbers and properties; nothing else has an order.`);
    }
  }
}

/** Used for one text. Its methods throw COMETMQ_BAD_EXPRESSION. */
export class ExpressionBuilder {
  #textDepth = 0;
  /** Of trees that others were put on top of; a leaf has 1. */
  readonly #depths = new WeakMap<ExpressionNode, number>();

  enter(): boolean {
    if (++this.#textDepth > DEPTH_MAX) refuse(`The expression is nested more than ${DEPTH_MAX} deep.`);
    return true;
  }

  leave(matched: boolean): boolean {
    this.#textDepth--;
    return matched;
  }

  missing(offset: number): never {
    return refuse(`The expression breaks off at character ${offset}: something else must stand there.`);
  }

  selector(node: ExpressionNode): BooleanNode {
    return this.#condition(node);
  }

  logic(type: "or" | "and", operands: readonly ExpressionNode[]): BooleanNode {
    const parts = operands.map((operand) => this.#condition(operand));
    return this.#above({ type, parts }, ...parts);
  }

  not(node: ExpressionNode): BooleanNode {
    const operand = this.#condition(node);
    return this.#above({ type: "not", operand }, operand);
  }

  isNull(left: ExpressionNode): BooleanNode {
    return this.#above({ type: "equal", left, right: this.nothing() }, left);
  }

  equal(left: ExpressionNode, right: ExpressionNode): BooleanNode {
    if (left.type === "nothing" || right.type === "nothing") refuse("NULL is compared with IS, not with = or <>.");
    if (left.type === "truth" && isConstant(right) && !isBoolean(right)) {
      refuse("TRUE and FALSE are not compared with a number or a text.");
    }
    return this.#above({ type: "equal", left, right }, left, right);
  }

  order(symbol: OrderSymbol, left: ExpressionNode, right: ExpressionNode): BooleanNode {
    requireOrdered(symbol, left, right);
    return this.#above({ type: "order", symbol, left, right }, left, right);
  }

  between(operand: ExpressionNode, low: ExpressionNode, high: ExpressionNode): BooleanNode {
    if (low.type === "number" && high.type === "number" && isBelow(high, low)) {
      refuse(`BETWEEN ${low.value} AND ${high.value} has its bounds the wrong way round.`);
    }
    return this.#between(operand, low, high, false);
  }

  /** Apache does not look at the bounds here. */
  notBetween(operand: ExpressionNode, low: ExpressionNode, high: ExpressionNode): BooleanNode {
    return this.#between(operand, low, high, true);
  }

  isIn(left: ExpressionNode, texts: readonly string[], inverted: boolean): BooleanNode {
    if (left.type !== "property") return refuse("IN takes a property on its left.");
    return { type: "in", property: left, texts, inverted };
  }

  search(kind: SearchKind, operand: ExpressionNode, text: string, inverted: boolean): BooleanNode {
    return this.#above({ type: "search", kind, operand, text, inverted }, operand);
  }

  negate(operand: ExpressionNode): ExpressionNode {
    return this.#above({ type: "negate", operand }, operand);
  }

  integer(digits: string): NumberNode {
    const value = BigInt(digits.replace(/l$/i, ""));
    if (value > LONG_MAX) refuse(`${digits.slice(0, 40)} is more than ${LONG_MAX}.`);
    const kind = value <= INT_MAX ? "int" : "long";
    return { type: "number", kind, value: value <= Number.MAX_SAFE_INTEGER ? Number(value) : value };
  }

  floating(digits: string): NumberNode {
    const value = Number(digits);
    // As Apache has it, which takes the smallest double above 0 for the smallest there is.
    if (value === 0 || value === Number.POSITIVE_INFINITY) {
      refuse(`${digits.slice(0, 40)} is outside ${Number.MIN_VALUE} to ${Number.MAX_VALUE}; zero is written 0.`);
    }
    return { type: "number", kind: "double", value };
  }

  text(value: string): ValueNode {
    return { type: "text", value };
  }

  truth(value: boolean): BooleanNode {
    return { type: "truth", value };
  }

  nothing(): BooleanNode {
    return { type: "nothing" };
  }

  property(name: string): PropertyNode {
    return { type: "property", name };
  }

  #between(operand: ExpressionNode, low: ExpressionNode, high: ExpressionNode, inverted: boolean): BooleanNode {
    requireOrdered("BETWEEN", operand, low, high);
    return this.#above({ type: "between", operand, low, high, inverted }, operand, low, high);
  }

  #condition(node: ExpressionNode): BooleanNode {
    if (isBoolean(node)) return node;
    if (node.type === "property") return { type: "cast", property: node };
    return refuse(`A ${node.type === "negate" ? "signed value" : node.type} stands where a condition must.`);
  }

  #above<Node extends ExpressionNode>(node: Node, ...operands: readonly ExpressionNode[]): Node {
    let depth = 1;
    for (const operand of operands) depth = Math.max(depth, 1 + (this.#depths.get(operand) ?? 1));
    if (depth > DEPTH_MAX) refuse(`The expression is chained more than ${DEPTH_MAX} deep.`);
    this.#depths.set(node, depth);
    return node;
  }
}
