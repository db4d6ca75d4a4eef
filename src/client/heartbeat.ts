/** What a client tells brokers of itself (remoting/protocol/heartbeat/HeartbeatData.java). */
import { configError } from "./errors.js";
import { javaHash } from "../base/java-hash.js";
import { type FastjsonInput, toFastjson } from "../remoting/fastjson.js";

/** What a consumer wants of a topic: tags between `||`, `*` for all, or an SQL92 expression over properties. */
export type FilterExpression = string | { readonly sql: string };

export interface SubscriptionData {
  readonly topic: string;
  readonly subString: string;
  readonly expressionType: "TAG" | "SQL92";
  readonly tagsSet: ReadonlySet<string>;
  readonly subVersion: number;
}

export interface ConsumerData {
  readonly groupName: string;
  readonly consumeType: "CONSUME_ACTIVELY" | "CONSUME_PASSIVELY" | "CONSUME_POP";
  readonly messageModel: "CLUSTERING" | "BROADCASTING";
  readonly consumeFromWhere: string;
  readonly subscriptions: readonly SubscriptionData[];
}

/** FilterAPI.buildSubscriptionData */
export function subscriptionOf(topic: string, filter: FilterExpression, subVersion: number): SubscriptionData {
  if (typeof filter !== "string") {
    if (typeof filter?.sql !== "string") throw configError(`The filter of ${topic} is neither tags nor { sql }.`);
    return { topic, subString: filter.sql, expressionType: "SQL92", tagsSet: new Set(), subVersion };
  }
  const tags = filter
    .split("||")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
  const all = tags.length === 0 || filter.trim() === "*";
  return {
    topic,
    subString: all ? "*" : filter,
    expressionType: "TAG",
    tagsSet: new Set(all ? [] : tags),
    subVersion,
  };
}

export function subscriptionJson(subscription: SubscriptionData): FastjsonInput {
  const { topic, subString, expressionType, tagsSet, subVersion } = subscription;
  return {
    classFilterMode: false,
    codeSet: [...tagsSet].map(javaHash),
    expressionType,
    subString,
    subVersion,
    tagsSet: [...tagsSet],
    topic,
  };
}

/** Of CHECK_CLIENT_CONFIG (remoting/protocol/body/CheckClientRequestBody.java). */
export function checkClientBody(clientId: string, group: string, subscription: SubscriptionData): Buffer {
  return Buffer.from(toFastjson({ clientId, group, subscriptionData: subscriptionJson(subscription) }));
}

export function heartbeatBody(
  clientId: string,
  producerGroups: Iterable<string>,
  consumers: Iterable<ConsumerData>,
): Buffer {
  const consumerDataSet = [...consumers].map((consumer) => ({
    consumeFromWhere: consumer.consumeFromWhere,
    consumeType: consumer.consumeType,
    groupName: consumer.groupName,
    messageModel: consumer.messageModel,
    subscriptionDataSet: consumer.subscriptions.map(subscriptionJson),
    unitMode: false,
  }));
  const producerDataSet = [...producerGroups].map((groupName) => ({ groupName }));
  return Buffer.from(toFastjson({ clientID: clientId, consumerDataSet, producerDataSet }));
}
