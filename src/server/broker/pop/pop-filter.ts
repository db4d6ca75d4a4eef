/** Which messages a pop wants: by tags at the queue, or by an expression at the message (filter/ExpressionMessageFilter). */
import { CometError } from "../../../base/errors.js";
import { javaHash } from "../../../base/java-hash.js";
import type { MessageFilter } from "../../../filter/message-filter.js";
import type { TagFilter } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { isTagType } from "../heartbeat-data.js";

export interface PopFilter {
  readonly expressionType: string;
  readonly expression: string;
  /** Undefined where tags do not decide, or every message is wanted. */
  readonly tags: TagFilter;
  /** As the store takes it. */
  readonly wanted: TagFilter | MessageFilter;
}

const ALL: PopFilter = { expressionType: "TAG", expression: "*", tags: undefined, wanted: undefined };
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
    try {
      const wanted = this.#context.filters.get(expressionType!, expression);
      return { expressionType: expressionType!, expression, tags: undefined, wanted };
    } catch (error) {
      if (error instanceof CometError) return error.message;
      throw error;
    }
  }

  #tagFilter(expression: string): PopFilter {
    const known = this.#byTags.get(expression);
    if (known !== undefined) return known;
    const tags = new Set(
      expression
        .split("||")
        .map((tag) => tag.trim())
        .filter((tag) => tag !== "")
        .map(javaHash),
    );
    const filter = { expressionType: "TAG", expression, tags, wanted: tags };
    if (this.#byTags.size >= FILTERS_KEPT) this.#byTags.clear();
    this.#byTags.set(expression, filter);
    return filter;
  }
}
