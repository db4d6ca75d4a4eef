/**
 * Which physical queues the queues of a static topic are, as its broker keeps it (remoting/protocol/statictopic/
 * TopicQueueMappingDetail.java, LogicQueueMappingItem.java): what registrations carry is a part of it.
 */
import type { FastjsonInput, FastjsonMap, FastjsonValue } from "../../remoting/fastjson.js";
import { asInt, asKey, asList, asMap, intMember, longMember, mapMember, textMember } from "./members.js";
import {
  readTopicQueueMappingInfo,
  type TopicQueueMappingInfo,
  topicQueueMappingInfoJson,
} from "./topic-route-data.js";

/** Since generation `gen` a queue's messages lie in `queueId` of the broker `bname`. */
export interface LogicQueueMappingItem {
  readonly gen: number;
  readonly queueId: number;
  readonly bname: string;
  readonly logicOffset: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly timeOfStart: number;
  readonly timeOfEnd: number;
}

export interface TopicQueueMappingDetail extends TopicQueueMappingInfo {
  /** By global queue id. */
  readonly hostedQueues: ReadonlyMap<number, readonly LogicQueueMappingItem[]>;
}

const QUEUES_MAX = 65_536;
const ITEMS_MAX = 1024;

function readItem(value: FastjsonValue): LogicQueueMappingItem {
  const map = asMap(value, "A mapping item");
  return {
    gen: intMember(map, "gen", 0),
    queueId: intMember(map, "queueId", 0),
    bname: textMember(map, "bname") ?? "",
    logicOffset: longMember(map, "logicOffset", 0),
    startOffset: longMember(map, "startOffset", 0),
    endOffset: longMember(map, "endOffset", -1),
    timeOfStart: longMember(map, "timeOfStart", -1),
    timeOfEnd: longMember(map, "timeOfEnd", -1),
  };
}

/** Throws COMETMQ_BAD_REQUEST. */
export function readTopicQueueMappingDetail(map: FastjsonMap): TopicQueueMappingDetail {
  const hostedQueues = new Map<number, LogicQueueMappingItem[]>();
  for (const [key, items] of [...(mapMember(map, "hostedQueues") ?? [])].slice(0, QUEUES_MAX)) {
    const globalId = asInt(asKey(key, "hostedQueues"), "hostedQueues");
    hostedQueues.set(globalId, asList(items, "hostedQueues").slice(0, ITEMS_MAX).map(readItem));
  }
  return { ...readTopicQueueMappingInfo(map), hostedQueues };
}

/** Keys are texts, so that every parser reads them: Apache's own tools break on the bare ones. */
export function topicQueueMappingDetailJson(detail: TopicQueueMappingDetail): FastjsonInput {
  const sorted = [...detail.hostedQueues].sort(([a], [b]) => a - b);
  const hostedQueues = new Map<string, FastjsonInput>(
    sorted.map(([globalId, items]) => [String(globalId), items.map((item) => ({ ...item }))]),
  );
  return { ...topicQueueMappingInfoJson(detail, true), hostedQueues };
}

/** What name servers are told: global queue id to the queue of this broker that it is now. */
export function mappingInfoOf({ hostedQueues, ...info }: TopicQueueMappingDetail): TopicQueueMappingInfo {
  const currIdMap = new Map<number, number>();
  for (const [globalId, items] of hostedQueues) {
    const current = items.at(-1);
    if (current !== undefined && current.bname === info.bname) currIdMap.set(globalId, current.queueId);
  }
  return { ...info, currIdMap };
}
