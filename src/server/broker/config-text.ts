/**
 * Configuration files as fastjson2 prints them with PrettyFormat: tabs, one member a line, bare integer keys, lists of
 * numbers in one. A table of many thousand entries is saved whenever one of them changes, so its text is made an entry at
 * a time, in room that is kept: what a save leaves to the collector does not grow with the table.
 */
import {
  FastjsonEntries,
  type FastjsonInput,
  FastjsonText,
  JavaDouble,
  numberText,
  toFastjson,
} from "../../remoting/fastjson.js";

/** Objects with more members are written a member at a time; smaller ones are one string each. */
const WHOLE_MEMBERS_MAX = 16;
const FIRST_BYTES = 1024;
/** UTF-8 of one UTF-16 unit. */
const UNIT_BYTES_MAX = 3;

type Key = string | number;
type Members = FastjsonEntries | ReadonlyMap<Key, FastjsonInput> | { readonly [name: string]: FastjsonInput };

export class ConfigText {
  #bytes = Buffer.alloc(0);
  #length = 0;

  /** The text of `content`: a view, good until the next call. */
  write(content: FastjsonInput): Buffer {
    this.#length = 0;
    if (isObject(content)) this.#object(content, "");
    else this.#append(textOf(content, ""));
    return this.#bytes.subarray(0, this.#length);
  }

  #object(members: Members, indent: string): void {
    const inner = `${indent}\t`;
    let before = `{\n${inner}`;
    for (const [key, value] of entriesOf(members)) {
      if (value === undefined) continue;
      if (isLarge(value)) {
        this.#append(`${before}${keyText(key)}`);
        this.#object(value, inner);
      } else {
        this.#append(`${before}${keyText(key)}${textOf(value, inner)}`);
      }
      before = `,\n${inner}`;
    }
    this.#append(before.startsWith("{") ? `${before}\n${indent}}` : `\n${indent}}`);
  }

  #append(text: string): void {
    const endMax = this.#length + text.length * UNIT_BYTES_MAX;
    if (endMax > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, endMax, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#length += this.#bytes.write(text, this.#length);
  }
}

function isObject(value: FastjsonInput): value is Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof JavaDouble || value instanceof FastjsonText);
}

function isLarge(value: FastjsonInput): value is FastjsonEntries | ReadonlyMap<Key, FastjsonInput> {
  return value instanceof FastjsonEntries || (value instanceof Map && value.size > WHOLE_MEMBERS_MAX);
}

function entriesOf(members: Members): Iterable<readonly [Key, FastjsonInput]> {
  if (members instanceof Map || members instanceof FastjsonEntries) return members;
  return Object.entries(members);
}

function keyText(key: Key): string {
  return typeof key === "number" ? `${key}:` : `${JSON.stringify(key)}:`;
}

/** For a member whose object's own members stand at `indent` and a tab. */
export function textOf(value: FastjsonInput, indent: string): string {
  if (typeof value === "number") return numberText(value);
  if (value === null || value === undefined || typeof value !== "object") return JSON.stringify(value ?? null);
  if (value instanceof JavaDouble) return toFastjson(value);
  if (value instanceof FastjsonText) return value.text;
  if (Array.isArray(value)) return listText(value, indent);
  return objectText(value as Members, indent);
}

function listText(list: readonly FastjsonInput[], indent: string): string {
  if (list.every((item) => typeof item === "number")) return JSON.stringify(list);
  const inner = `${indent}\t`;
  return `[\n${inner}${list.map((item) => textOf(item, inner)).join(`,\n${inner}`)}\n${indent}]`;
}

function objectText(members: Members, indent: string): string {
  const inner = `${indent}\t`;
  let text = "";
  for (const [key, value] of entriesOf(members)) {
    if (value === undefined) continue;
    text += `${text === "" ? "" : ",\n"}${inner}${keyText(key)}${textOf(value, inner)}`;
  }
  return text === "" ? `{\n${inner}\n${indent}}` : `{\n${text}\n${indent}}`;
}
