/**
 * Which brokers there are. JSON shapes: remoting/protocol/body/{ClusterInfo,BrokerMemberGroup,
 * GetBrokerMemberGroupResponseBody}.java. Broker ids are bare keys, for only Apache's tools and brokers ask.
 */
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { asKey, asList, asText, mapMember, textMember } from "./members.js";
import { type BrokerData, brokerDataJson, readBrokerAddrs, readBrokerData } from "./topic-route-data.js";

export interface ClusterInfo {
  readonly brokerAddrTable: ReadonlyMap<string, BrokerData>;
  /** Cluster name to broker names. */
  readonly clusterAddrTable: ReadonlyMap<string, readonly string[]>;
}

export interface BrokerMemberGroup {
  readonly cluster: string;
  readonly brokerName: string;
  readonly brokerAddrs: ReadonlyMap<number, string>;
}

export function clusterInfoJson(info: ClusterInfo): FastjsonInput {
  const brokers = new Map<string, FastjsonInput>();
  for (const [name, data] of info.brokerAddrTable) brokers.set(name, brokerDataJson(data, false));
  return { brokerAddrTable: brokers, clusterAddrTable: info.clusterAddrTable };
}

export function readClusterInfo(map: FastjsonMap): ClusterInfo {
  const brokerAddrTable = new Map<string, BrokerData>();
  for (const [name, data] of mapMember(map, "brokerAddrTable") ?? []) {
    brokerAddrTable.set(asKey(name, "brokerAddrTable"), readBrokerData(data));
  }
  const clusterAddrTable = new Map<string, string[]>();
  for (const [name, value] of mapMember(map, "clusterAddrTable") ?? []) {
    const brokerNames = asList(value, "clusterAddrTable").map((brokerName) => asText(brokerName, "clusterAddrTable"));
    clusterAddrTable.set(asKey(name, "clusterAddrTable"), brokerNames);
  }
  return { brokerAddrTable, clusterAddrTable };
}

export function brokerMemberGroupJson(group: BrokerMemberGroup): FastjsonInput {
  const brokerAddrs = new Map([...group.brokerAddrs].sort(([a], [b]) => a - b));
  return { brokerMemberGroup: { brokerAddrs, brokerName: group.brokerName, cluster: group.cluster } };
}

export function readBrokerMemberGroup(body: FastjsonMap): BrokerMemberGroup {
  const map = mapMember(body, "brokerMemberGroup") ?? (new Map() as FastjsonMap);
  return {
    cluster: textMember(map, "cluster") ?? "",
    brokerName: textMember(map, "brokerName") ?? "",
    brokerAddrs: readBrokerAddrs(map),
  };
}
