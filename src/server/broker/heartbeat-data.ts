/**
 * What a client says of itself every 30 seconds: JSON shapes of remoting/protocol/heartbeat/{HeartbeatData,ConsumerData,
 * SubscriptionData}.java. Clients in other languages write enumerations as ordinals, sets of codes as texts and versions
 * in nanoseconds; all of that is taken, as fastjson takes it. Anything else is refused with COMETMQ_BAD_REQUEST.
 */
import { CometError } from "../../base/errors.js";
import { EXPRESSION_CHARS_MAX } from "../../filter/message-filter.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import type { TagFilter } from "../../store/types.js";
import {
  asInt,
  asMap,
  asText,
  booleanMember,
  intMember,
  listMember,
  parseBody,
  textMember,
} from "../protocol/members.js";

const ENTRIES_MAX = 4096;
const NAME_CHARS_MAX = 1024;

export const CONSUME_TYPES = ["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"] as const;
export type ConsumeType = (typeof CONSUME_TYPES)[number];

export const MESSAGE_MODELS = ["BROADCASTING", "CLUSTERING"] as const;
export type MessageModel = (typeof MESSAGE_MODELS)[number];

export const CONSUME_FROM_WHERES = [
  "CONSUME_FROM_LAST_OFFSET",
  "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
  "CONSUME_FROM_MIN_OFFSET",
  "CONSUME_FROM_MAX_OFFSET",
  "CONSUME_FROM_FIRST_OFFSET",
  "CONSUME_FROM_TIMESTAMP",
] as const;
export type ConsumeFromWhere = (typeof CONSUME_FROM_WHERES)[number];

export interface SubscriptionData {
  readonly topic: string;
  readonly subString: string;
  /** "TAG", "SQL92" or what a later client says. */
  readonly expressionType: string;
  readonly classFilterMode: boolean;
  readonly tagsSet: readonly string[];
  readonly codeSet: ReadonlySet<number>;
  /** Grows with each change; nanoseconds from some clients, so the last digits may be lost. */
  readonly subVersion: number;
  /** What a pull passes to the store: undefined where every message is wanted, or tags do not decide. */
  readonly tagFilter: TagFilter;
  /** An expression of which only the beginning was kept. */
  readonly tooLong?: boolean;
}

export interface ConsumerData {
  readonly groupName: string;
  readonly consumeType: ConsumeType | undefined;
  readonly messageModel: MessageModel | undefined;
  readonly consumeFromWhere: ConsumeFromWhere | undefined;
  readonly subscriptions: readonly SubscriptionData[];
  readonly unitMode: boolean;
}

export interface HeartbeatData {
  readonly clientId: string;
  readonly producerGroups: readonly string[];
  readonly consumers: readonly ConsumerData[];
  /** 0 from clients that do not know the second version of heartbeats. */
  readonly fingerprint: number;
  readonly withoutSub: boolean;
}

export function isTagType(expressionType: string | undefined): boolean {
  return expressionType === undefined || expressionType === "" || expressionType === "TAG";
}

export function readHeartbeatData(body: Buffer): HeartbeatData {
  const map = parseBody(body, "HeartbeatData");
  return {
    clientId: requiredName(map, "clientID"),
    producerGroups: entries(map, "producerDataSet").map((producer) => requiredName(producer, "groupName")),
    consumers: entries(map, "consumerDataSet").map(readConsumerData),
    fingerprint: intMember(map, "heartbeatFingerprint", 0),
    withoutSub: booleanMember(map, "withoutSub", false),
  };
}

function readConsumerData(map: FastjsonMap): ConsumerData {
  return {
    groupName: requiredName(map, "groupName"),
    consumeType: enumMember(map, "consumeType", CONSUME_TYPES),
    messageModel: enumMember(map, "messageModel", MESSAGE_MODELS),
    consumeFromWhere: enumMember(map, "consumeFromWhere", CONSUME_FROM_WHERES),
    subscriptions: entries(map, "subscriptionDataSet").map((entry) => kept(readSubscriptionData(entry))),
    unitMode: booleanMember(map, "unitMode", false),
  };
}

export function readSubscriptionData(map: FastjsonMap): SubscriptionData {
  const expressionType = textMember(map, "expressionType") ?? "TAG";
  const subString = textMember(map, "subString") ?? "";
  const codeSet = new Set(boundedList(map, "codeSet").map((code) => asInt(code, "codeSet")));
  return {
    topic: requiredName(map, "topic"),
    subString,
    expressionType,
    classFilterMode: booleanMember(map, "classFilterMode", false),
    tagsSet: boundedList(map, "tagsSet").map((tag) => asText(tag, "tagsSet")),
    codeSet,
    subVersion: versionMember(map, "subVersion"),
    tagFilter: isTagType(expressionType) && subString !== "*" ? codeSet : undefined,
  };
}

/** An expression that is too long to be one is of no use but to be shown, and its beginning is enough for that. */
function kept(data: SubscriptionData): SubscriptionData {
  const { subString } = data;
  if (isTagType(data.expressionType) || subString.length <= EXPRESSION_CHARS_MAX) return data;
  // Copied, for a slice would keep the whole.
  const beginning = Buffer.from(subString.slice(0, 64), "utf8").toString();
  return { ...data, subString: `${beginning}… (${subString.length} characters)`, tooLong: true };
}

export function subscriptionDataJson(data: SubscriptionData): FastjsonInput {
  return {
    classFilterMode: data.classFilterMode,
    codeSet: [...data.codeSet],
    expressionType: data.expressionType,
    subString: data.subString,
    subVersion: data.subVersion,
    tagsSet: data.tagsSet,
    topic: data.topic,
  };
}

function refuse(problem: string): never {
  throw new CometError("COMETMQ_BAD_REQUEST", problem);
}

function boundedList(map: FastjsonMap, name: string) {
  const list = listMember(map, name);
  return list.length <= ENTRIES_MAX ? list : refuse(`${name} has more than ${ENTRIES_MAX} entries.`);
}

function entries(map: FastjsonMap, name: string): FastjsonMap[] {
  return boundedList(map, name).map((entry) => asMap(entry, name));
}

function requiredName(map: FastjsonMap, name: string): string {
  const text = textMember(map, name);
  if (text === undefined || text === "") return refuse(`${name} is missing.`);
  return text.length <= NAME_CHARS_MAX ? text : refuse(`${name} has more than ${NAME_CHARS_MAX} characters.`);
}

function enumMember<T extends string>(map: FastjsonMap, name: string, values: readonly T[]): T | undefined {
  const value = map.get(name);
  if (value === undefined || value === null) return undefined;
  const found = typeof value === "number" ? values[value] : values.find((known) => known === value);
  return found ?? refuse(`${name} is none of ${values.join(", ")}.`);
}

function versionMember(map: FastjsonMap, name: string): number {
  const value = map.get(name);
  if (value === undefined || value === null) return 0;
  const version = typeof value === "string" && /^-?\d{1,19}$/.test(value) ? Number(value) : value;
  if (typeof version !== "number" || !Number.isInteger(version) || Math.abs(version) > 2 ** 63) {
    return refuse(`${name} is not an integer of 64 bits.`);
  }
  return version;
}
