/** What CometMQ's filter makes of a case, in the letters of test/java/filter/FilterOracle.java. */
import { CometError } from "#src/base/errors.js";
import { compileFilter } from "#src/filter/message-filter.js";
import { encodeProperties } from "#src/record/properties.js";
import type { FilterCase } from "./filter-cases.js";

/** `E` where the expression is refused, else a letter a property set. */
export function ourAnswer({ expression, properties }: FilterCase): string {
  let filter: ReturnType<typeof compileFilter>;
  try {
    filter = compileFilter("SQL92", expression);
  } catch (error) {
    if (error instanceof CometError && error.code === "COMETMQ_BAD_EXPRESSION") return "E";
    throw error;
  }
  return properties
    .map((set) => {
      const bytes = encodeProperties(set);
      return "FTNX"[filter.truthOf(bytes, 0, bytes.length)];
    })
    .join("");
}
