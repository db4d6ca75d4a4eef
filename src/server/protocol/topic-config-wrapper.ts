/**
 * All topics of a broker with their version: what slaves fetch and registrations carry. JSON shapes:
 * remoting/protocol/body/{TopicConfigSerializeWrapper,TopicConfigAndMappingSerializeWrapper}.java.
 */
import { FastjsonEntries, type FastjsonInput, type FastjsonMap } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, NO_DATA_VERSION, readDataVersion } from "./data-version.js";
import { asKey, asMap, mapMember } from "./members.js";
import { readTopicConfig, type TopicConfig, topicConfigJson } from "./topic-config.js";
import {
  readTopicQueueMappingInfo,
  type TopicQueueMappingInfo,
  topicQueueMappingInfoJson,
} from "./topic-route-data.js";

export interface TopicConfigWrapper {
  readonly dataVersion: DataVersion;
  readonly topicConfigTable: ReadonlyMap<string, TopicConfig>;
}

/** What a registration carries: static topics' mappings come with the topics. */
export interface TopicConfigAndMappingWrapper extends TopicConfigWrapper {
  readonly mappingDataVersion: DataVersion;
  readonly topicQueueMappingInfoMap: ReadonlyMap<string, TopicQueueMappingInfo>;
}

function topicConfigTableJson(table: ReadonlyMap<string, TopicConfig>): FastjsonInput {
  return new FastjsonEntries(function* () {
    for (const [name, config] of table) yield [name, topicConfigJson(config)];
  });
}

/** `details` are what slaves and tools are told of static topics (code 21), and registrations leave out. */
export function topicConfigAndMappingWrapperJson(
  wrapper: TopicConfigAndMappingWrapper,
  details: FastjsonInput = {},
): FastjsonInput {
  const infos = new Map<string, FastjsonInput>();
  for (const [name, info] of wrapper.topicQueueMappingInfoMap) infos.set(name, topicQueueMappingInfoJson(info, false));
  return {
    dataVersion: dataVersionJson(wrapper.dataVersion),
    mappingDataVersion: dataVersionJson(wrapper.mappingDataVersion),
    topicConfigTable: topicConfigTableJson(wrapper.topicConfigTable),
    topicQueueMappingDetailMap: details,
    topicQueueMappingInfoMap: infos,
  };
}

export function readTopicConfigWrapper(map: FastjsonMap): TopicConfigWrapper {
  const topicConfigTable = new Map<string, TopicConfig>();
  for (const [key, value] of mapMember(map, "topicConfigTable") ?? []) {
    const name = asKey(key, "topicConfigTable");
    topicConfigTable.set(name, readTopicConfig(asMap(value, `The topic ${name}`), name));
  }
  return { dataVersion: readDataVersion(mapMember(map, "dataVersion")), topicConfigTable };
}

export function readTopicConfigAndMappingWrapper(map: FastjsonMap | undefined): TopicConfigAndMappingWrapper {
  const topicQueueMappingInfoMap = new Map<string, TopicQueueMappingInfo>();
  if (map === undefined) {
    return {
      dataVersion: NO_DATA_VERSION,
      mappingDataVersion: NO_DATA_VERSION,
      topicConfigTable: new Map(),
      topicQueueMappingInfoMap,
    };
  }
  for (const [key, value] of mapMember(map, "topicQueueMappingInfoMap") ?? []) {
    topicQueueMappingInfoMap.set(asKey(key, "topicQueueMappingInfoMap"), readTopicQueueMappingInfo(value));
  }
  const { dataVersion, topicConfigTable } = readTopicConfigWrapper(map);
  const mappingDataVersion = readDataVersion(mapMember(map, "mappingDataVersion"));
  return { dataVersion, mappingDataVersion, topicConfigTable, topicQueueMappingInfoMap };
}
