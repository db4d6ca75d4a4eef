/**
 * Where a topic's queues are: the answer to every client's first question. JSON shapes:
 * remoting/protocol/route/{TopicRouteData,QueueData,BrokerData}.java and statictopic/TopicQueueMappingInfo.java.
 *
 * Broker ids and queue ids are keys. fastjson2 writes them bare (`{0:"…"}`), which only its own family reads; `standard`
 * writes them as texts, as Apache does for clients from 4.9.4 on and for those that ask for it.
 */
import type { FastjsonInput, FastjsonMap, FastjsonValue } from "../../remoting/fastjson.js";
import {
  asInt,
  asKey,
  asLong,
  asMap,
  asText,
  booleanMember,
  intMember,
  listMember,
  longMember,
  mapMember,
  textMember,
} from "./members.js";

export const MASTER_ID = 0;
const SCOPE_GLOBAL = "__global__";

export interface QueueData {
  readonly brokerName: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  readonly perm: number;
  readonly topicSysFlag: number;
}

export interface BrokerData {
  readonly cluster: string;
  readonly brokerName: string;
  /** By broker id; 0 is the master. */
  readonly brokerAddrs: ReadonlyMap<number, string>;
  readonly zoneName?: string | undefined;
  readonly enableActingMaster: boolean;
}

/** Which queues of a static topic a broker hosts: global queue id to its own. */
export interface TopicQueueMappingInfo {
  readonly topic: string;
  readonly scope: string;
  readonly totalQueues: number;
  readonly bname: string;
  readonly epoch: number;
  readonly dirty: boolean;
  readonly currIdMap: ReadonlyMap<number, number>;
}

export interface TopicRouteData {
  readonly orderTopicConf?: string | undefined;
  readonly queueDatas: readonly QueueData[];
  readonly brokerDatas: readonly BrokerData[];
  readonly topicQueueMappingByBroker?: ReadonlyMap<string, TopicQueueMappingInfo> | undefined;
}

export function sameQueueData(a: QueueData, b: QueueData): boolean {
  return (
    a.brokerName === b.brokerName &&
    a.readQueueNums === b.readQueueNums &&
    a.writeQueueNums === b.writeQueueNums &&
    a.perm === b.perm &&
    a.topicSysFlag === b.topicSysFlag
  );
}

function byId<V>(entries: ReadonlyMap<number, V>, standard: boolean): Map<string | number, V> {
  const sorted = [...entries].sort(([a], [b]) => a - b);
  return new Map<string | number, V>(standard ? sorted.map(([id, value]) => [String(id), value]) : sorted);
}

export function queueDataJson(data: QueueData): FastjsonInput {
  const { brokerName, perm, readQueueNums, topicSysFlag, writeQueueNums } = data;
  return { brokerName, perm, readQueueNums, topicSysFlag, writeQueueNums };
}

export function brokerDataJson(data: BrokerData, standard: boolean): FastjsonInput {
  return {
    brokerAddrs: byId(data.brokerAddrs, standard),
    brokerName: data.brokerName,
    cluster: data.cluster,
    enableActingMaster: data.enableActingMaster,
    zoneName: data.zoneName,
  };
}

export function topicQueueMappingInfoJson(
  info: TopicQueueMappingInfo,
  standard: boolean,
): { readonly [name: string]: FastjsonInput } {
  return {
    bname: info.bname,
    currIdMap: byId(info.currIdMap, standard),
    dirty: info.dirty,
    epoch: info.epoch,
    scope: info.scope,
    topic: info.topic,
    totalQueues: info.totalQueues,
  };
}

export function topicRouteDataJson(route: TopicRouteData, standard: boolean): FastjsonInput {
  let mappings: Map<string, FastjsonInput> | undefined;
  if (route.topicQueueMappingByBroker !== undefined) {
    mappings = new Map();
    for (const [name, info] of route.topicQueueMappingByBroker) {
      mappings.set(name, topicQueueMappingInfoJson(info, standard));
    }
  }
  return {
    brokerDatas: route.brokerDatas.map((data) => brokerDataJson(data, standard)),
    filterServerTable: {},
    orderTopicConf: route.orderTopicConf,
    queueDatas: route.queueDatas.map(queueDataJson),
    topicQueueMappingByBroker: mappings,
  };
}

export function readQueueData(value: FastjsonValue): QueueData {
  const map = asMap(value, "A queue data");
  return {
    brokerName: textMember(map, "brokerName") ?? "",
    readQueueNums: intMember(map, "readQueueNums", 0),
    writeQueueNums: intMember(map, "writeQueueNums", 0),
    perm: intMember(map, "perm", 0),
    topicSysFlag: intMember(map, "topicSysFlag", 0),
  };
}

export function readBrokerData(value: FastjsonValue): BrokerData {
  const map = asMap(value, "A broker data");
  return {
    cluster: textMember(map, "cluster") ?? "",
    brokerName: textMember(map, "brokerName") ?? "",
    brokerAddrs: readBrokerAddrs(map),
    zoneName: textMember(map, "zoneName"),
    enableActingMaster: booleanMember(map, "enableActingMaster", false),
  };
}

export function readBrokerAddrs(map: FastjsonMap): Map<number, string> {
  const addrs = new Map<number, string>();
  for (const [id, addr] of mapMember(map, "brokerAddrs") ?? []) {
    if (addr !== null) addrs.set(asLong(asKey(id, "brokerAddrs"), "A broker id"), asText(addr, "brokerAddrs"));
  }
  return addrs;
}

export function readTopicQueueMappingInfo(value: FastjsonValue): TopicQueueMappingInfo {
  const map = asMap(value, "A topic queue mapping");
  const currIdMap = new Map<number, number>();
  for (const [globalId, id] of mapMember(map, "currIdMap") ?? []) {
    currIdMap.set(asInt(asKey(globalId, "currIdMap"), "currIdMap"), asInt(id, "currIdMap"));
  }
  return {
    topic: textMember(map, "topic") ?? "",
    scope: textMember(map, "scope") ?? SCOPE_GLOBAL,
    totalQueues: intMember(map, "totalQueues", 0),
    bname: textMember(map, "bname") ?? "",
    epoch: longMember(map, "epoch", 0),
    dirty: booleanMember(map, "dirty", false),
    currIdMap,
  };
}

export function readTopicRouteData(map: FastjsonMap): TopicRouteData {
  const mappings = mapMember(map, "topicQueueMappingByBroker");
  let topicQueueMappingByBroker: Map<string, TopicQueueMappingInfo> | undefined;
  if (mappings !== undefined) {
    topicQueueMappingByBroker = new Map();
    for (const [name, info] of mappings) {
      topicQueueMappingByBroker.set(asKey(name, "topicQueueMappingByBroker"), readTopicQueueMappingInfo(info));
    }
  }
  return {
    orderTopicConf: textMember(map, "orderTopicConf"),
    queueDatas: listMember(map, "queueDatas").map(readQueueData),
    brokerDatas: listMember(map, "brokerDatas").map(readBrokerData),
    topicQueueMappingByBroker,
  };
}
