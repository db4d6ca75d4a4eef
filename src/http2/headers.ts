/** Header fields as they were received, and whether they make a request or trailers (RFC 9113, section 8). */

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const NOT_IN_VALUES = /[\0\r\n]/;
const COLON = 0x3a;
/** Of HTTP/1's connections; HTTP/2 has none of them. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);
const PSEUDO: readonly string[] = [":method", ":scheme", ":path", ":authority"];
const NECESSARY: readonly string[] = [":method", ":scheme", ":path"];
const DIGITS = /^\d{1,15}$/;
/** What RFC 9113 counts for a field besides its text. */
const FIELD_BYTES_MORE = 32;

export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** As tables and lists are counted. */
  readonly bytes: number;
  readonly isPseudo: boolean;
  /** HTTP/2 allows it, seen by itself. */
  readonly isSound: boolean;

  constructor(name: string, value: string) {
    this.name = name;
    this.value = value;
    this.bytes = name.length + value.length + FIELD_BYTES_MORE;
    this.isPseudo = name.charCodeAt(0) === COLON;
    this.isSound =
      NAME.test(name) &&
      !NOT_IN_VALUES.test(value) &&
      !CONNECTION_SPECIFIC.has(name) &&
      (name !== "te" || value === "trailers");
  }
}

/** Never changed, for calls may share it. */
export class Headers {
  readonly fields: readonly HeaderField[];
  /** There were more than may be kept. */
  readonly isBeyond: boolean;
  /** As lists are counted. */
  readonly bytes: number;
  #values: ReadonlyMap<string, string> | undefined;
  #isRequest: boolean | undefined;
  #contentLength: number | undefined;

  constructor(fields: readonly HeaderField[], bytes: number, isBeyond: boolean) {
    this.fields = fields;
    this.bytes = bytes;
    this.isBeyond = isBeyond;
  }

  /** Empty when there is none; several values with commas between. */
  get(name: string): string {
    this.#values ??= valuesOf(this.fields);
    return this.#values.get(name) ?? "";
  }

  get isRequest(): boolean {
    this.#isRequest ??= isRequest(this.fields);
    return this.#isRequest;
  }

  get isTrailers(): boolean {
    return this.fields.every((field) => field.isSound && !field.isPseudo);
  }

  /** -1 without one, NaN where it is no number. */
  get contentLength(): number {
    this.#contentLength ??= contentLengthOf(this.get("content-length"));
    return this.#contentLength;
  }
}

function isRequest(fields: readonly HeaderField[]): boolean {
  const seen = new Set<string>();
  let regular = false;
  for (const { name, value, isSound, isPseudo } of fields) {
    if (!isSound) return false;
    if (!isPseudo) {
      regular = true;
      continue;
    }
    if (regular || seen.has(name) || !PSEUDO.includes(name) || (name === ":path" && value === "")) return false;
    seen.add(name);
  }
  return NECESSARY.every((name) => seen.has(name));
}

function valuesOf(fields: readonly HeaderField[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { name, value } of fields) {
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return values;
}

function contentLengthOf(text: string): number {
  if (text === "") return -1;
  return DIGITS.test(text) ? Number(text) : Number.NaN;
}
