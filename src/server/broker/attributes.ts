/**
 * Attributes of topics and groups: what there is, which values it takes, and how a list of changes is applied
 * (common/TopicAttributes.java, SubscriptionGroupAttributes.java, attribute/AttributeParser.java, AttributeUtil.java).
 * A change is `+name=value` or `-name`. Problems are COMETMQ_BAD_REQUEST in Apache's words.
 */
import { CometError } from "../../base/errors.js";

export interface AttributeRule {
  readonly changeable: boolean;
  /** What is wrong with `value`, if anything. */
  readonly problem: (value: string) => string | undefined;
}

export type AttributeRules = ReadonlyMap<string, AttributeRule>;
export type Attributes = ReadonlyMap<string, string>;

export const MESSAGE_TYPE_ATTRIBUTE = "message.type";
export const MESSAGE_TYPES = ["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "MIXED"] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

const LONG_MAX = 9223372036854775807n;

function oneOf(changeable: boolean, values: readonly string[]): AttributeRule {
  const problem = (value: string) =>
    values.includes(value) ? undefined : `value is not in set: [${values.join(", ")}]`;
  return { changeable, problem };
}

function range(min: bigint, max: bigint): AttributeRule {
  const problem = (value: string) => {
    if (!/^[+-]?\d{1,19}$/.test(value)) return `For input string: "${value.slice(0, 80)}"`;
    const number = BigInt(value);
    return number >= min && number <= max ? undefined : `value is not in range(${min}, ${max})`;
  };
  return { changeable: true, problem };
}

export const TOPIC_ATTRIBUTES: AttributeRules = new Map([
  ["queue.type", oneOf(false, ["BatchCQ", "SimpleCQ"])],
  ["cleanup.policy", oneOf(false, ["COMPACTION", "DELETE"])],
  [MESSAGE_TYPE_ATTRIBUTE, oneOf(true, MESSAGE_TYPES)],
  ["reserve.time", range(-1n, LONG_MAX)],
]);

export const GROUP_ATTRIBUTES: AttributeRules = new Map([["priority.factor", range(0n, 100n)]]);

/** The message type that an attribute table states; NORMAL when it states none. */
export function messageTypeOf(attributes: Attributes): MessageType {
  const stated = attributes.get(MESSAGE_TYPE_ATTRIBUTE);
  return MESSAGE_TYPES.find((type) => type === stated) ?? "NORMAL";
}

function refuse(remark: string): never {
  throw new CometError("COMETMQ_BAD_REQUEST", remark.endsWith(".") ? remark : `${remark}.`);
}

/** Reads `+key1=value1,+key2=value2,-key3`, keys with their sign. */
export function parseAttributeChanges(text: string | undefined): Map<string, string> {
  const changes = new Map<string, string>();
  if (text === undefined || text === "") return changes;
  for (const change of text.split(",")) {
    const [key, value] = change.split("=");
    if (key === undefined || key === "") refuse(`kv string format wrong: ${change}`);
    if (change.includes("=")) {
      if (!key.includes("+")) refuse(`add/alter attribute format is wrong: ${key}`);
      if (value === undefined || value === "") refuse(`the attribute ${key} has no value`);
    } else if (!key.includes("-")) {
      refuse(`delete attribute format is wrong: ${key}`);
    }
    if (changes.has(key)) refuse(`key duplication: ${key}`);
    changes.set(key, value ?? "");
  }
  return changes;
}

/** `current` with `changes` applied. `create`: for something new, which has nothing to delete. */
export function alterAttributes(
  rules: AttributeRules,
  create: boolean,
  current: Attributes,
  changes: Attributes,
): Map<string, string> {
  const result = new Map(current);
  const seen = new Set<string>();
  for (const [signed, value] of changes) {
    const sign = signed[0];
    const key = signed.slice(1);
    if (key === "" || key.includes("+") || key.includes("-")) refuse(`kv string format wrong: ${signed}`);
    if (seen.has(key)) refuse(`alter duplication key. key: ${key}`);
    seen.add(key);
    if (create && sign !== "+") refuse(`only add attribute is supported while creating topic. key: ${key}`);
    if (sign !== "+" && sign !== "-") refuse(`wrong format key: ${key}`);
    if (sign === "-" && !current.has(key)) refuse(`attempt to delete a nonexistent key: ${key}`);
    const rule = rules.get(key);
    if (rule === undefined) refuse(`unsupported key: ${key}`);
    if (!create && !rule.changeable) refuse(`attempt to update an unchangeable attribute. key: ${key}`);
    if (sign === "-") {
      result.delete(key);
      continue;
    }
    const problem = rule.problem(value);
    if (problem !== undefined) refuse(`${key}: ${problem}`);
    result.set(key, value);
  }
  return result;
}

export interface AttributeRequest {
  readonly name: string;
  readonly changes: Attributes;
}

/**
 * What each request of a list makes of the attributes of what it names, one after the other; `current` tells those from
 * before, of what there is. Nothing is changed: so the list can be refused whole, in a problem that names the one.
 */
export function alterEach(
  rules: AttributeRules,
  requests: readonly AttributeRequest[],
  current: (name: string) => Attributes | undefined,
): Map<string, string>[] {
  const altered = new Map<string, Map<string, string>>();
  return requests.map(({ name, changes }) => {
    const before = altered.get(name) ?? current(name);
    try {
      const after = alterAttributes(rules, before === undefined, before ?? new Map(), changes);
      altered.set(name, after);
      return after;
    } catch (error) {
      if (requests.length === 1 || !(error instanceof CometError)) throw error;
      throw new CometError(error.code, `${name}: ${error.summary}`);
    }
  });
}
