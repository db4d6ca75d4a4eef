/**
 * What a policy is about, and what a request asks for: `Topic:orders`, `Group:shop*`, `Cluster:*`, or `*` for everything
 * (auth/authorization/model/Resource.java, common/action/Action.java).
 */

/** As Apache spells them. `Any` in a request is met by every action, and is not allowed in a policy. */
export const ACTIONS = ["All", "Any", "Pub", "Sub", "Create", "Update", "Delete", "Get", "List"] as const;
export type Action = (typeof ACTIONS)[number];

const RESOURCE_TYPES = ["Any", "Cluster", "Namespace", "Topic", "Group"] as const;
export type ResourceType = (typeof RESOURCE_TYPES)[number];

export interface Resource {
  readonly type: ResourceType;
  readonly pattern: "LITERAL" | "PREFIXED" | "ANY";
  /** Empty with the pattern ANY. */
  readonly name: string;
}

const RETRY_PREFIX = "%RETRY%";

export function actionNamed(text: string): Action | undefined {
  return named(ACTIONS, text);
}

/** The one of `names` that is `text`, whatever its case. */
export function named<T extends string>(names: readonly T[], text: string): T | undefined {
  const lower = text.toLowerCase();
  return names.find((name) => name.toLowerCase() === lower);
}

/** Undefined where `key` names no resource. */
export function parseResource(key: string): Resource | undefined {
  if (key === "*") return { type: "Any", pattern: "ANY", name: "" };
  const colon = key.indexOf(":");
  const type = named(RESOURCE_TYPES, colon < 0 ? key : key.slice(0, colon));
  if (type === undefined) return undefined;
  if (type === "Any") return { type, pattern: "ANY", name: "" };
  const name = colon < 0 ? "" : key.slice(colon + 1);
  if (name === "*") return { type, pattern: "ANY", name: "" };
  if (name.endsWith("*")) return { type, pattern: "PREFIXED", name: name.slice(0, name.indexOf("*")) };
  return { type, pattern: "LITERAL", name };
}

export function resourceKey({ type, pattern, name }: Resource): string {
  if (type === "Any") return "*";
  return pattern === "LITERAL" ? `${type}:${name}` : `${type}:${name}*`;
}

/** Whether a policy about `pattern` is about the thing of `type` called `name`. */
export function matches(pattern: Resource, type: ResourceType, name: string): boolean {
  if (pattern.type === "Any") return true;
  if (pattern.type !== type) return false;
  if (pattern.pattern === "ANY") return true;
  return pattern.pattern === "LITERAL" ? pattern.name === name : name.startsWith(pattern.name);
}

export function isRetryTopic(topic: string): boolean {
  return topic.startsWith(RETRY_PREFIX);
}

/** The group whose retry topic `topic` is. */
export function groupOfRetryTopic(topic: string): string {
  return topic.slice(RETRY_PREFIX.length);
}
