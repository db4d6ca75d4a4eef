/** Which messages a pop wants: by tags at the queue, by other expressions at the message (filter/ExpressionMessageFilter). */
import { javaHash } from "../../../base/java-hash.js";
import type { TagFilter } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { isTagType } from "../heartbeat-data.js";

export interface PopFilter {
  /** What the queue's entries are looked at for; undefined where every one is wanted. */
  readonly tags: TagFilter;
  /** What whole records are looked at for, if anything. */
  readonly matches: ((record: Buffer) => boolean) | undefined;
}

const ALL: PopFilter = { tags: undefined, matches: undefined };
const FILTERS_KEPT = 1024;

export class PopFilters {
  readonly #context: BrokerContext;
  readonly #byTags = new Map<string, PopFilter>();

  constructor(context: BrokerContext) {
    this.#context = context;
  }

  /** A text says what is wrong with the expression. */
  of(expressionType: string | undefined, expression: string | undefined): PopFilter | string {
    if (expression === undefined || expression === "") return ALL;
    if (isTagType(expressionType)) return expression === "*" ? ALL : this.#tagFilter(expression);
    const { checkExpression, config, filters } = this.#context;
    const problem = checkExpression(expressionType!, expression);
    if (problem !== undefined) return problem;
    if (!config.enablePropertyFilter)
      return `The broker does not support consumer to filter message by ${expressionType}`;
    const filter = filters.get(expressionType!, expression);
    return { tags: undefined, matches: (record) => filter.matchesRecord(record) };
  }

  #tagFilter(expression: string): PopFilter {
    const known = this.#byTags.get(expression);
    if (known !== undefined) return known;
    const tags = expression.split("||").map((tag) => tag.trim());
    const filter = { tags: new Set(tags.filter((tag) => tag !== "").map(javaHash)), matches: undefined };
    if (this.#byTags.size >= FILTERS_KEPT) this.#byTags.clear();
    this.#byTags.set(expression, filter);
    return filter;
  }
}
