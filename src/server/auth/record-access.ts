/**
 * Requests that name a message by its place in the log say nothing of whose it is, or whatever they like: a consumer that
 * gives back a message of its own and tells another's offset would find a copy of that in its retry topic. Apache asks
 * for the group only. Here the topic that the message turns out to be of needs the same right as if it had been named.
 */
import { PropertyName } from "../../record/property-names.js";
import { LocalConnection } from "../../remoting/local-connection.js";
import type { Connection, Request } from "../../remoting/types.js";
import type { Access } from "./open-access.js";
import { needOf } from "./request-needs.js";
import { type Action, groupOfRetryTopic, isRetryTopic } from "./resource.js";

export interface Asker {
  readonly access: Access | undefined;
  readonly request: Request;
  readonly connection: Connection;
}

/** Undefined where the one who asks may do `action` to `topic`, else what he is told. */
export function topicRefusal(
  { access, request, connection }: Asker,
  topic: string,
  action: Action,
): string | undefined {
  // The gRPC endpoint has asked already, before it made a request of the call.
  if (access?.enforced !== true || connection instanceof LocalConnection) return undefined;
  return access.control.refusalOf(request, connection, () => [needOf("Topic", topic, [action])]);
}

/**
 * The same of a message that a consumer of `group` has: its topic, a light queue that it was put into as well, or a retry
 * topic of the group's.
 */
export function consumedRefusal(
  asker: Asker,
  group: string,
  topic: string,
  properties: ReadonlyMap<string, string>,
): string | undefined {
  const { access, request, connection } = asker;
  const popped = isRetryTopic(topic) ? restOfRetryTopic(topic, group) : undefined;
  if (access?.enforced !== true || popped === "") return undefined;
  if (connection instanceof LocalConnection) {
    // Of a gRPC client's handle, which can be made up, only the topic was asked for.
    const isNamed = !access.control.rules.authorizationEnabled || request.header.text("originTopic") === topic;
    return isNamed ? undefined : "the message is not of the topic that was named";
  }
  const refusal = topicRefusal(asker, popped ?? topic, "Sub");
  const queues = properties.get(PropertyName.INNER_MULTI_DISPATCH);
  if (refusal === undefined || queues === undefined) return refusal;
  return queues.split(",").some((name) => topicRefusal(asker, name, "Sub") === undefined) ? undefined : refusal;
}

/**
 * Empty for the group's own retry topic, the topic for that of a pop, which is named after both; undefined for another
 * group's. Where `G_T` may also be a group, the right to the topic T is asked for.
 */
function restOfRetryTopic(topic: string, group: string): string | undefined {
  const name = groupOfRetryTopic(topic);
  if (name === group) return "";
  return name.startsWith(group) && /^[_+]./.test(name.slice(group.length)) ? name.slice(group.length + 1) : undefined;
}
