/**
 * Bodies and config files as Apache's fastjson2 writes them: JSON but for the keys of maps, which are bare integers
 * where Java's map has integer keys and objects where it has objects:
 *
 *   {"offsetTable":{1:5,2:1}}      {{"brokerName":"broker-a","queueId":0,"topic":"T"}:{"maxOffset":17}}
 *
 * What fastjson2 forgives who edits a file by hand is forgiven: a byte order mark, comments, a comma behind the last
 * member, single quotes, `+1` and `7L`. Objects become Maps, so no name from the wire meets a prototype.
 */
import { CometError } from "../base/errors.js";
import { ownText } from "../base/own-text.js";

/** A key is a string, a number where it was a bare integer, a Map where it was an object. */
export type FastjsonKey = string | number | FastjsonMap;
export type FastjsonMap = Map<FastjsonKey, FastjsonValue>;
export type FastjsonValue = null | boolean | number | string | FastjsonValue[] | FastjsonMap;

/** What is written: plain objects like maps with string keys, their undefined members left out. */
export type FastjsonInput =
  | null
  | undefined
  | boolean
  | number
  | string
  | JavaDouble
  | readonly FastjsonInput[]
  | ReadonlyMap<string | number | object, FastjsonInput>
  | FastjsonEntries
  | FastjsonText
  | { readonly [name: string]: FastjsonInput };

/** Members of an object that are made while it is written, one after the other: of tables too large to be made twice. */
export class FastjsonEntries implements Iterable<readonly [string | number, FastjsonInput]> {
  readonly #make: () => Iterable<readonly [string | number, FastjsonInput]>;

  constructor(make: () => Iterable<readonly [string | number, FastjsonInput]>) {
    this.#make = make;
  }

  [Symbol.iterator](): Iterator<readonly [string | number, FastjsonInput]> {
    return this.#make()[Symbol.iterator]();
  }
}

/** A value that was written before, for the place where it stands. */
export class FastjsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A number that Java has as a double, so that it is written with a fraction: `0.0`. */
export class JavaDouble {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

const DEPTH_MAX = 64;
const LONG_END = 2 ** 63;
/** What is cut from a longer text is copied, so that it does not keep the whole; V8 copies shorter pieces anyway. */
const SHARED_CHARS_MAX = 1024;
const PIECE_CHARS_MIN = 13;

const NUMBER = /[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** Of a number's Java type. */
const NUMBER_SUFFIX = /[BSLFD]/y;
const BYTE_ORDER_MARK = "\ufeff";
/** Up to the next quote, backslash or end; fastjson lets control characters stand. */
const PLAIN_DOUBLE = /[^"\\]*/y;
const PLAIN_SINGLE = /[^'\\]*/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ...['"', "'", "\\", "/"].map((letter) => [letter, letter] as const),
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/**
 * The value of a whole text; undefined when it is malformed or nested deeper than `depthMax`. Never throws. Of equal
 * string or integer keys the last counts. Integers beyond 2^53 lose digits.
 */
export function parseFastjson(text: string | Buffer, depthMax: number = DEPTH_MAX): FastjsonValue | undefined {
  const parser = new Parser(typeof text === "string" ? text : text.toString("utf8"), depthMax);
  try {
    return parser.whole();
  } catch (error) {
    if (error instanceof CometError) return undefined;
    throw error;
  }
}

class Parser {
  readonly #text: string;
  readonly #depthMax: number;
  #position = 0;
  #depth = 0;

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#depthMax = depthMax;
  }

  whole(): FastjsonValue {
    if (this.#text[0] === BYTE_ORDER_MARK) this.#position++;
    const value = this.#value();
    if (this.#peek() !== "") this.#fail();
    return value;
  }

  #value(): FastjsonValue {
    switch (this.#peek()) {
      case "{":
        return this.#map();
      case "[":
        return this.#list();
      case '"':
      case "'":
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #map(): FastjsonMap {
    const map: FastjsonMap = new Map();
    this.#enter();
    if (this.#peek() === "}") return this.#leave(map);
    for (;;) {
      const key = this.#key();
      if (this.#peek() !== ":") this.#fail();
      this.#position++;
      map.set(key, this.#value());
      const separator = this.#peek();
      if (separator === "}") return this.#leave(map);
      if (separator !== ",") this.#fail();
      this.#position++;
      if (this.#peek() === "}") return this.#leave(map);
    }
  }

  #key(): FastjsonKey {
    const first = this.#peek();
    if (first === '"' || first === "'") return this.#string();
    if (first === "{") return this.#map();
    const number = this.#number();
    // Infinity has no digits to be written with again.
    return Number.isFinite(number) ? number : this.#fail();
  }

  #list(): FastjsonValue[] {
    const list: FastjsonValue[] = [];
    this.#enter();
    if (this.#peek() === "]") return this.#leave(list);
    for (;;) {
      list.push(this.#value());
      const separator = this.#peek();
      if (separator === "]") return this.#leave(list);
      if (separator !== ",") this.#fail();
      this.#position++;
      if (this.#peek() === "]") return this.#leave(list);
    }
  }

  #enter(): void {
    if (++this.#depth > this.#depthMax) this.#fail();
    this.#position++;
  }

  #leave<T>(value: T): T {
    this.#depth--;
    this.#position++;
    return value;
  }

  #string(): string {
    const quote = this.#text[this.#position]!;
    const plain = quote === '"' ? PLAIN_DOUBLE : PLAIN_SINGLE;
    this.#position++;
    let value = "";
    for (;;) {
      const piece = this.#match(plain);
      const isCut = piece.length >= PIECE_CHARS_MIN && this.#text.length > SHARED_CHARS_MAX;
      value += isCut ? ownText(piece) : piece;
      const stop = this.#text[this.#position++];
      if (stop === quote) return value;
      if (stop === undefined) this.#fail();
      value += this.#escape();
    }
  }

  #escape(): string {
    const kind = this.#text[this.#position++] ?? "";
    if (kind !== "u") return ESCAPES.get(kind) ?? this.#fail();
    const digits = this.#text.slice(this.#position, this.#position + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail();
    this.#position += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #number(): number {
    const digits = this.#match(NUMBER);
    this.#match(NUMBER_SUFFIX);
    return digits === "" ? this.#fail() : Number(digits);
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) this.#fail();
    this.#position += word.length;
    return value;
  }

  /** What `pattern`, a sticky one, matches here; moves behind it. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#position += found.length;
    return found;
  }

  /** Skips white space and comments; the next character, empty at the end. */
  #peek(): string {
    for (;;) {
      const next = this.#text[this.#position];
      if (next === "/") this.#comment();
      else if (next !== " " && next !== "\n" && next !== "\t" && next !== "\r") return next ?? "";
      else this.#position++;
    }
  }

  /** To the end of the line, or of the comment. */
  #comment(): void {
    const isLine = this.#text[this.#position + 1] === "/";
    if (!isLine && this.#text[this.#position + 1] !== "*") this.#fail();
    const end = this.#text.indexOf(isLine ? "\n" : "*/", this.#position + 2);
    if (end < 0 && !isLine) this.#fail();
    this.#position = end < 0 ? this.#text.length : end + (isLine ? 1 : 2);
  }

  #fail(): never {
    throw new CometError("COMETMQ_BAD_FRAME", "Malformed JSON.");
  }
}

/** The text as fastjson2 writes it, without white space. A number that is not finite becomes null. */
export function toFastjson(value: FastjsonInput): string {
  return write(value, undefined);
}

/** The same with line breaks and tabs, as Apache writes its config files; lists of numbers stay on one line. */
export function toPrettyFastjson(value: FastjsonInput): string {
  return write(value, "\n");
}

/** Longs next to Java's largest are 2 ** 63 here, which is none: they are written as that largest. */
export function numberText(value: number): string {
  if (value === LONG_END) return "9223372036854775807";
  return Number.isFinite(value) ? String(value) : "null";
}

/** `line` is the line break with the indentation of where the value stands, undefined for none. */
function write(value: FastjsonInput, line: string | undefined): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return numberText(value);
  if (typeof value === "boolean") return String(value);
  if (value instanceof JavaDouble) {
    return Number.isInteger(value.value) && Math.abs(value.value) < 1e21
      ? `${value.value}.0`
      : write(value.value, line);
  }
  if (value instanceof FastjsonText) return value.text;
  const inner = line === undefined ? undefined : `${line}\t`;
  if (Array.isArray(value)) {
    const items = value.map((item) => write(item, inner));
    return items.length === 0 || typeof value[0] === "number" ? `[${items.join()}]` : wrapped("[", items, "]", line);
  }
  const members = [...membersOf(value)].map(([key, member]) => `${writeKey(key)}:${write(member, inner)}`);
  return wrapped("{", members, "}", line);
}

function wrapped(open: string, items: readonly string[], close: string, line: string | undefined): string {
  if (line === undefined) return open + items.join() + close;
  return `${open}${line}\t${items.join(`,${line}\t`)}${line}${close}`;
}

function* membersOf(value: object): Iterable<readonly [unknown, FastjsonInput]> {
  const isTable = value instanceof Map || value instanceof FastjsonEntries;
  const entries: Iterable<readonly [unknown, FastjsonInput]> = isTable ? value : Object.entries(value);
  for (const entry of entries) if (entry[1] !== undefined) yield entry;
}

function writeKey(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key);
  return write(key as FastjsonInput, undefined);
}

/** The member if it is a string; undefined when absent or of another kind, or when `map` is no map. Likewise below. */
export function textIn(map: FastjsonValue | undefined, key: FastjsonKey): string | undefined {
  const value = map instanceof Map ? map.get(key) : undefined;
  return typeof value === "string" ? value : undefined;
}

export function integerIn(map: FastjsonValue | undefined, key: FastjsonKey): number | undefined {
  const value = map instanceof Map ? map.get(key) : undefined;
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
}

export function booleanIn(map: FastjsonValue | undefined, key: FastjsonKey): boolean | undefined {
  const value = map instanceof Map ? map.get(key) : undefined;
  return typeof value === "boolean" ? value : undefined;
}

export function listIn(map: FastjsonValue | undefined, key: FastjsonKey): FastjsonValue[] | undefined {
  const value = map instanceof Map ? map.get(key) : undefined;
  return Array.isArray(value) ? value : undefined;
}

export function mapIn(map: FastjsonValue | undefined, key: FastjsonKey): FastjsonMap | undefined {
  const value = map instanceof Map ? map.get(key) : undefined;
  return value instanceof Map ? value : undefined;
}
