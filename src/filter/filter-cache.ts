/** The filters in use, compiled once each, the least recently used forgotten first. What does not compile is not kept. */
import { compileFilter, type MessageFilter } from "./message-filter.js";

const FILTERS_MAX = 1000;
const CHARS_MAX = 1024 * 1024;

export class FilterCache {
  /** By type and expression, the least recently used first. */
  readonly #filters = new Map<string, MessageFilter>();
  #chars = 0;

  get size(): number {
    return this.#filters.size;
  }

  /** Throws as `compileFilter` does. */
  get(expressionType: string, expression: string): MessageFilter {
    const key = `${expressionType} ${expression}`;
    let filter = this.#filters.get(key);
    if (filter === undefined) {
      filter = compileFilter(expressionType, expression);
      this.#chars += key.length;
    } else {
      this.#filters.delete(key);
    }
    this.#filters.set(key, filter);
    if (this.#filters.size > FILTERS_MAX || this.#chars > CHARS_MAX) this.#forget();
    return filter;
  }

  #forget(): void {
    for (const key of this.#filters.keys()) {
      if (this.#filters.size <= FILTERS_MAX && this.#chars <= CHARS_MAX) return;
      this.#filters.delete(key);
      this.#chars -= key.length;
    }
  }
}
