/**
 * What decides, record by record, whether a consumer wants a message by its properties (broker/filter/
 * ExpressionMessageFilter.java). A filter keeps no more of a record than where the properties lie that it asks for, and
 * only until the next one, so one filter serves everybody who has the same expression.
 */
import { CometError } from "../base/errors.js";
import { ValueRange } from "../record/properties.js";
import { findProperties } from "../record/property-range.js";
import { type CompiledExpression, compileExpression } from "./compile.js";
import { ExpressionBuilder } from "./expression.js";
import { parse, SyntaxError as SelectorSyntaxError } from "./selector-parser.js";
import { Truth } from "./truth.js";

export const SQL92 = "SQL92";

/** Of UTF-16 units. */
export const EXPRESSION_CHARS_MAX = 16 * 1024;

/** So many bytes of properties are scanned, or searched through, in the time of one condition. */
const BYTES_A_STEP = 16;

const range = new ValueRange();

export class MessageFilter {
  /** What evaluating has cost since somebody set this to 0, in conditions: for callers that give it a budget. */
  steps = 0;
  readonly #compiled: CompiledExpression;

  constructor(compiled: CompiledExpression) {
    this.#compiled = compiled;
  }

  /** Whether the properties in `bytes[propertiesStart, propertiesEnd)` are those of a message that is wanted. */
  matches(bytes: Buffer, propertiesStart: number, propertiesEnd: number): boolean {
    return this.truthOf(bytes, propertiesStart, propertiesEnd) === Truth.TRUE;
  }

  /** The same, and for a message that is not wanted why. */
  truthOf(bytes: Buffer, propertiesStart: number, propertiesEnd: number): Truth {
    const { scan, condition, conditionCount, searchCount } = this.#compiled;
    this.steps += conditionCount + ((propertiesEnd - propertiesStart) / BYTES_A_STEP) * (1 + searchCount);
    scan.scan(bytes, propertiesStart, propertiesEnd);
    return condition(bytes);
  }

  /** `matches` of a whole record. One without readable properties has none. */
  matchesRecord(record: Buffer): boolean {
    findProperties(record, range);
    return this.matches(record, range.start, range.end);
  }
}

/**
 * The filter of an expression of a type other than TAG. Throws COMETMQ_BAD_EXPRESSION, with what is wrong, for a type or
 * an expression that is none. Callers that meet the same expressions again ask a FilterCache.
 */
export function compileFilter(expressionType: string, expression: string): MessageFilter {
  if (expressionType !== SQL92) refuse(`The expression type ${expressionType.slice(0, 64)} is neither TAG nor SQL92.`);
  if (expression.length > EXPRESSION_CHARS_MAX) {
    refuse(`The expression has ${expression.length} characters, at most ${EXPRESSION_CHARS_MAX} are taken.`);
  }
  try {
    return new MessageFilter(compileExpression(parse(expression, { builder: new ExpressionBuilder() })));
  } catch (error) {
    if (error instanceof SelectorSyntaxError) return refuse(syntaxProblem(expression, error));
    throw error;
  }
}

function syntaxProblem(expression: string, error: object): string {
  const { offset } = (error as { location: { start: { offset: number } } }).location.start;
  const found = expression.slice(offset, offset + 20);
  if (found.trim() === "") return "The expression is empty, or ends where something must follow.";
  return `The expression cannot be read from character ${offset} on, where ${JSON.stringify(found)} stands.`;
}

function refuse(problem: string): never {
  throw new CometError("COMETMQ_BAD_EXPRESSION", problem);
}
