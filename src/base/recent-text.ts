/**
 * The text of bytes that are mostly the same as the last time, such as the topic of one message after the other: a string
 * is made only where they differ.
 */
export class RecentText {
  #bytes = Buffer.alloc(0);
  #text = "";

  /** The UTF-8 text in `bytes[start, end)`. */
  of(bytes: Buffer, start: number, end: number): string {
    if (!this.#isLast(bytes, start, end)) {
      this.#bytes = Buffer.from(bytes.subarray(start, end));
      this.#text = this.#bytes.toString("utf8");
    }
    return this.#text;
  }

  #isLast(bytes: Buffer, start: number, end: number): boolean {
    const last = this.#bytes;
    if (last.length !== end - start) return false;
    for (let i = 0; i < last.length; i++) if (bytes[start + i] !== last[i]) return false;
    return true;
  }
}
