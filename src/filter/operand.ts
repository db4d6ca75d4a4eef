/**
 * Operands of a comparison. What type of value one has is known from the expression alone, for every property is a
 * string; what each record decides is whether there is a value at all, and which. `load` finds out, and leaves the value
 * in the operand until the next one.
 */
import type { PropertyScan } from "../record/properties.js";
import type { NumberNode } from "./expression.js";
import { type Condition, Truth } from "./truth.js";

export const Presence = { VALUE: 0, NULL: 1, ERROR: 2 } as const;
export type Presence = (typeof Presence)[keyof typeof Presence];

export class PropertyOperand {
  readonly type = "text";
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;
  readonly #scan: PropertyScan;
  readonly #index: number;

  constructor(scan: PropertyScan, index: number) {
    this.#scan = scan;
    this.#index = index;
  }

  load(bytes: Buffer): Presence {
    if (!this.#scan.has(this.#index)) return Presence.NULL;
    this.bytes = bytes;
    this.start = this.#scan.starts[this.#index]!;
    this.end = this.#scan.ends[this.#index]!;
    return Presence.VALUE;
  }
}

const EMPTY = Buffer.alloc(0);

export class TextOperand {
  readonly type = "text";
  readonly bytes: Buffer;
  readonly start = 0;
  readonly end: number;

  constructor(text: string) {
    this.bytes = Buffer.from(text, "utf8");
    this.end = this.bytes.length;
  }

  load(): Presence {
    return Presence.VALUE;
  }
}

export class NumberOperand {
  readonly type = "number";
  readonly number: NumberNode;

  constructor(number: NumberNode) {
    this.number = number;
  }

  load(): Presence {
    return Presence.VALUE;
  }
}

/** A condition as a value. */
export class ConditionOperand {
  readonly type = "condition";
  value = false;
  readonly #condition: Condition;

  constructor(condition: Condition) {
    this.#condition = condition;
  }

  load(bytes: Buffer): Presence {
    const truth = this.#condition(bytes);
    this.value = truth === Truth.TRUE;
    if (truth === Truth.ERROR) return Presence.ERROR;
    return truth === Truth.NULL ? Presence.NULL : Presence.VALUE;
  }
}

/** A sign before something that is no number: never a value. */
export class VoidOperand {
  readonly type = "void";
  readonly #signed: Operand;

  constructor(signed: Operand) {
    this.#signed = signed;
  }

  load(bytes: Buffer): Presence {
    return this.#signed.load(bytes) === Presence.ERROR ? Presence.ERROR : Presence.NULL;
  }
}

/** A string, from the record or from the expression. */
export type StringOperand = PropertyOperand | TextOperand;
export type Operand = StringOperand | NumberOperand | ConditionOperand | VoidOperand;
