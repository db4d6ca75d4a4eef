/**
 * The header of a request that was made in this process: its fields are values of an object, and become bytes only for
 * who asks where they lie.
 */
import { HeaderView, parseJavaLong } from "./header-view.js";
import type { Fields } from "./types.js";

const FIELD_BYTES_MIN = 1024;

export class LocalHeader extends HeaderView {
  #fields: Fields = {};
  #areBytes = false;
  #buffer: Buffer = Buffer.allocUnsafeSlow(FIELD_BYTES_MIN);

  /** The header has these fields, and no members yet. They are not changed before the next ones are set. */
  setFields(fields: Fields): void {
    this.clear(this.#buffer);
    this.#fields = fields;
    this.#areBytes = false;
  }

  override find(name: string): number {
    this.#toBytes();
    return super.find(name);
  }

  override text(name: string): string | undefined {
    const value = this.#fields[name];
    return value === undefined || typeof value === "string" ? value : String(value);
  }

  override integer(name: string): number | undefined {
    const value = this.#fields[name];
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    if (value === undefined || value === "") return undefined;
    return parseJavaLong(String(value));
  }

  override boolean(name: string): boolean | undefined {
    const value = this.#fields[name];
    if (typeof value === "boolean" || value === undefined) return value;
    return String(value).toLowerCase() === "true";
  }

  override fields(): Map<string, string> {
    this.#toBytes();
    return super.fields();
  }

  /** All names and values are written as one text, whose lengths are those of its bytes as long as it is ASCII. */
  #toBytes(): void {
    if (this.#areBytes) return;
    this.#areBytes = true;
    const fields = this.#fields;
    let text = "";
    let at = 0;
    for (const name in fields) {
      const value = fields[name];
      if (value === undefined) continue;
      text += name;
      const nameEnd = at + name.length;
      text += typeof value === "string" ? value : String(value);
      this.addField(at, nameEnd, nameEnd, text.length, 0);
      at = text.length;
    }
    if (3 * text.length > this.#buffer.length) {
      this.#buffer = Buffer.allocUnsafeSlow(6 * text.length);
      this.bytes = this.#buffer;
    }
    if (this.#buffer.write(text, 0, "utf8") !== text.length) this.#measure(text);
  }

  /** Text was as long as its units, and is longer. */
  #measure(text: string): void {
    let at = 0;
    for (let i = 0; i < this.fieldCount; i++) {
      const name = text.slice(this.keyStart[i], this.keyEnd[i]);
      const value = text.slice(this.valueStart[i], this.valueEnd[i]);
      this.keyStart[i] = at;
      at += Buffer.byteLength(name);
      this.keyEnd[i] = at;
      this.valueStart[i] = at;
      at += Buffer.byteLength(value);
      this.valueEnd[i] = at;
    }
  }
}
