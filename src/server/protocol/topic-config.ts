/**
 * A topic as a broker keeps it and tells it. Shapes: common/TopicConfig.java, both as JSON object and as the line of
 * compressed registrations; permissions: common/constant/PermName.java; flags: common/sysflag/TopicSysFlag.java.
 */
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { CometError } from "../../base/errors.js";
import { ownText } from "../../base/own-text.js";
import { parseFastjson, toFastjson } from "../../remoting/fastjson.js";
import { asInt, asTextMap, booleanMember, intMember, textMapMember, textMember } from "./members.js";

export const PERM_PRIORITY = 8;
export const PERM_READ = 4;
export const PERM_WRITE = 2;
export const PERM_INHERIT = 1;

export const SYS_FLAG_UNIT = 1;
export const SYS_FLAG_UNIT_SUB = 2;

export const DEFAULT_QUEUE_NUMS = 16;

export type TopicFilterType = "SINGLE_TAG" | "MULTI_TAG";

export interface TopicConfig {
  readonly topicName: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  readonly perm: number;
  readonly topicFilterType: TopicFilterType;
  readonly topicSysFlag: number;
  readonly order: boolean;
  readonly attributes: ReadonlyMap<string, string>;
}

/** `key` is the name under which the topic stands in its table; it counts when the object does not name itself. */
export function readTopicConfig(map: FastjsonMap, key: string): TopicConfig {
  return {
    topicName: textMember(map, "topicName") ?? key,
    readQueueNums: intMember(map, "readQueueNums", DEFAULT_QUEUE_NUMS),
    writeQueueNums: intMember(map, "writeQueueNums", DEFAULT_QUEUE_NUMS),
    perm: intMember(map, "perm", PERM_READ | PERM_WRITE),
    topicFilterType: map.get("topicFilterType") === "MULTI_TAG" ? "MULTI_TAG" : "SINGLE_TAG",
    topicSysFlag: intMember(map, "topicSysFlag", 0),
    order: booleanMember(map, "order", false),
    attributes: textMapMember(map, "attributes"),
  };
}

export function topicConfigJson(config: TopicConfig): { readonly [name: string]: FastjsonInput } {
  return {
    attributes: config.attributes,
    order: config.order,
    perm: config.perm,
    readQueueNums: config.readQueueNums,
    topicFilterType: config.topicFilterType,
    topicName: config.topicName,
    topicSysFlag: config.topicSysFlag,
    writeQueueNums: config.writeQueueNums,
  };
}

/** `name read write perm filter {attributes}`: neither the system flag nor the order is in it. */
export function topicConfigLine(config: TopicConfig): string {
  const { topicName, readQueueNums, writeQueueNums, perm, topicFilterType, attributes } = config;
  return `${topicName} ${readQueueNums} ${writeQueueNums} ${perm} ${topicFilterType} ${toFastjson(attributes)}`;
}

/** Attributes with a blank in them cannot be told from the line and are left out, as Apache does. */
export function parseTopicConfigLine(line: string): TopicConfig {
  const [topicName, read, write, perm, filter, attributes] = line.split(" ");
  if (topicName === undefined || read === undefined || write === undefined || perm === undefined) {
    throw new CometError("COMETMQ_BAD_REQUEST", "A topic's line has too few parts.");
  }
  return {
    topicName: ownText(topicName),
    readQueueNums: asInt(read, "readQueueNums"),
    writeQueueNums: asInt(write, "writeQueueNums"),
    perm: asInt(perm, "perm"),
    topicFilterType: filter === "MULTI_TAG" ? "MULTI_TAG" : "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes: lineAttributes(attributes),
  };
}

function lineAttributes(text: string | undefined): Map<string, string> {
  const value = text === undefined ? undefined : parseFastjson(text);
  return value instanceof Map ? asTextMap(value, "attributes") : new Map();
}
