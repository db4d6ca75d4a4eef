/** Subscriptions as the broker's tables want them, from a filter expression (protocol/filter/FilterAPI.java). */
import { javaHash } from "../../base/java-hash.js";
import { Code, FilterType } from "../../grpc/enums.js";
import type { FilterExpression } from "../../grpc/messages.js";
import type { SubscriptionData } from "../broker/heartbeat-data.js";
import { ProxyError } from "./proxy-error.js";

const ALL = "*";
const EXPRESSION_CHARS_MAX = 65_536;

/** Throws ILLEGAL_FILTER_EXPRESSION. */
export function subscriptionOf(
  topic: string,
  filter: FilterExpression | null | undefined,
  subVersion: number,
): SubscriptionData {
  const expression = filter?.expression ?? "";
  if (expression.length > EXPRESSION_CHARS_MAX) {
    throw new ProxyError(Code.ILLEGAL_FILTER_EXPRESSION, `the expression has more than ${EXPRESSION_CHARS_MAX} chars`);
  }
  if (filter?.type === FilterType.SQL) return sqlSubscription(topic, expression, subVersion);
  const everything = expression === "" || expression === ALL;
  const tagsSet = everything ? [] : tagsOf(expression);
  const codeSet = new Set(tagsSet.map(javaHash));
  const subString = everything ? ALL : expression;
  return {
    topic,
    subString,
    expressionType: "TAG",
    classFilterMode: false,
    tagsSet,
    codeSet,
    subVersion,
    tagFilter: everything ? undefined : codeSet,
  };
}

function sqlSubscription(topic: string, subString: string, subVersion: number): SubscriptionData {
  if (subString === "") throw new ProxyError(Code.ILLEGAL_FILTER_EXPRESSION, "Expression can't be null! SQL92");
  const expressionType = "SQL92";
  const nothing = { classFilterMode: false, tagsSet: [], codeSet: new Set<number>(), tagFilter: undefined };
  return { topic, subString, expressionType, subVersion, ...nothing };
}

function tagsOf(expression: string): string[] {
  const tags = new Set(expression.split("||").map((tag) => tag.trim()));
  tags.delete("");
  return [...tags];
}
