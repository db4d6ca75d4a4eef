/** From the tree of an expression to closures over the bytes of a record. */
import { PropertyScan } from "../record/properties.js";
import { equalCondition, inCondition, nullCondition, orderCondition, searchCondition } from "./compare.js";
import type { BooleanNode, ExpressionNode, NumberNode, ValueNode } from "./expression.js";
import {
  ConditionOperand,
  NumberOperand,
  type Operand,
  Presence,
  PropertyOperand,
  TextOperand,
  VoidOperand,
} from "./operand.js";
import { type Condition, Truth } from "./truth.js";

export interface CompiledExpression {
  /** To be filled from a record before `condition` is asked about it. */
  readonly scan: PropertyScan;
  readonly condition: Condition;
  /** Conditions in it: each is asked at most once for a record. */
  readonly conditionCount: number;
  /** Those that may read a whole property, however long that is. */
  readonly searchCount: number;
}

export function compileExpression(tree: BooleanNode): CompiledExpression {
  const names = new Set<string>();
  collectNames(tree, names);
  const compiler = new Compiler([...names]);
  const condition = compiler.condition(tree);
  return { scan: compiler.scan, condition, ...compiler.counts };
}

function collectNames(node: ExpressionNode, names: Set<string>): void {
  switch (node.type) {
    case "property":
      names.add(node.name);
      break;
    case "cast":
    case "in":
      names.add(node.property.name);
      break;
    case "or":
    case "and":
      for (const part of node.parts) collectNames(part, names);
      break;
    case "not":
    case "negate":
    case "search":
      collectNames(node.operand, names);
      break;
    case "equal":
    case "order":
      collectNames(node.left, names);
      collectNames(node.right, names);
      break;
    case "between":
      for (const operand of [node.operand, node.low, node.high]) collectNames(operand, names);
      break;
  }
}

class Compiler {
  readonly scan: PropertyScan;
  readonly counts = { conditionCount: 0, searchCount: 0 };
  readonly #indexes: ReadonlyMap<string, number>;

  constructor(names: readonly string[]) {
    this.scan = new PropertyScan(names);
    this.#indexes = new Map(names.map((name, index) => [name, index]));
  }

  condition(node: BooleanNode): Condition {
    this.counts.conditionCount++;
    switch (node.type) {
      case "truth":
        return node.value ? () => Truth.TRUE : () => Truth.FALSE;
      case "nothing":
        return () => Truth.NULL;
      case "or":
        return anyOf(node.parts.map((part) => this.condition(part)));
      case "and":
        return allOf(node.parts.map((part) => this.condition(part)));
      case "not":
        return notOf(this.condition(node.operand));
      case "cast": {
        // A property is a string, and that is never TRUE.
        const property = this.#property(node.property.name);
        return (bytes) => (property.load(bytes) === Presence.NULL ? Truth.NULL : Truth.FALSE);
      }
      case "in":
        this.counts.searchCount++;
        return inCondition(this.#property(node.property.name), node.texts, node.inverted);
      case "search":
        this.counts.searchCount++;
        return searchCondition(node.kind, this.#operand(node.operand), node.text, node.inverted);
      case "order":
        return orderCondition(node.symbol, this.#operand(node.left), this.#operand(node.right));
      case "between":
        return this.#between(node);
      case "equal":
        if (node.right.type === "nothing") return nullCondition(this.#operand(node.left));
        return equalCondition(this.#operand(node.left), this.#operand(node.right));
    }
  }

  #between({ operand, low, high, inverted }: BetweenNode): Condition {
    const left = this.#operand(operand);
    // Asked once, though both halves ask for it: else nested ones would be asked twice as often with each level.
    if (left.type === "void") {
      return (bytes) => (left.load(bytes) === Presence.ERROR ? Truth.ERROR : Truth.NULL);
    }
    const lower = this.#operand(low);
    const upper = this.#operand(high);
    if (inverted) return anyOf([orderCondition("<", left, lower), orderCondition(">", left, upper)]);
    return allOf([orderCondition(">=", left, lower), orderCondition("<=", left, upper)]);
  }

  #property(name: string): PropertyOperand {
    return new PropertyOperand(this.scan, this.#indexes.get(name)!);
  }

  #operand(node: ExpressionNode): Operand {
    switch (node.type) {
      case "property":
        return this.#property(node.name);
      case "number":
        return new NumberOperand(node);
      case "text":
        return new TextOperand(node.value);
      case "negate": {
        const operand = this.#operand(node.operand);
        return operand.type === "number" ? new NumberOperand(negated(operand.number)) : new VoidOperand(operand);
      }
      default:
        return new ConditionOperand(this.condition(node));
    }
  }
}

type BetweenNode = Extract<BooleanNode, { type: "between" }>;

/** An int stays an int and a long a long: no constant is so large that its negative is none. */
function negated({ kind, value }: NumberNode): NumberNode & ValueNode {
  if (kind === "double") return { type: "number", kind, value: -value };
  return { type: "number", kind, value: typeof value === "bigint" ? -value : 0 - value };
}

/** `OR`: parts are asked in their order until one is TRUE or goes wrong. */
function anyOf(parts: readonly Condition[]): Condition {
  return (bytes) => {
    let answer: Truth = Truth.FALSE;
    for (let i = 0; i < parts.length; i++) {
      const truth = parts[i]!(bytes);
      if (truth === Truth.TRUE || truth === Truth.ERROR) return truth;
      if (truth === Truth.NULL) answer = Truth.NULL;
    }
    return answer;
  };
}

function allOf(parts: readonly Condition[]): Condition {
  return (bytes) => {
    let answer: Truth = Truth.TRUE;
    for (let i = 0; i < parts.length; i++) {
      const truth = parts[i]!(bytes);
      if (truth === Truth.FALSE || truth === Truth.ERROR) return truth;
      if (truth === Truth.NULL) answer = Truth.NULL;
    }
    return answer;
  };
}

function notOf(operand: Condition): Condition {
  return (bytes) => {
    const truth = operand(bytes);
    if (truth === Truth.TRUE) return Truth.FALSE;
    return truth === Truth.FALSE ? Truth.TRUE : truth;
  };
}
