/**
 * Routes and lists of topics. Answers: namesrv/processor/ClientRequestProcessor.java and DefaultRequestProcessor.java;
 * routes by zone: namesrv/route/ZoneRouteRPCHook.java.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { versionOrdinal } from "../../remoting/mq-version.js";
import type { Connection, Request } from "../../remoting/types.js";
import { parseBody } from "../protocol/members.js";
import { type TopicList, topicListJson } from "../protocol/topic-list.js";
import {
  MASTER_ID,
  readTopicRouteData,
  type TopicRouteData,
  topicRouteDataJson,
} from "../protocol/topic-route-data.js";
import { type Answer, failure, type Handler, jsonAnswer, missing, quoted, requiredText, SUCCESS } from "../answer.js";
import { NAMESPACE_ORDER_TOPIC_CONFIG } from "./kv-config.js";
import type { NameServerState } from "./state.js";

/** These and later clients are sent JSON that every parser reads. */
const V4_9_4 = versionOrdinal("4.9.4")!;
const ZONE_NAME = "__ZONE_NAME";
const ZONE_MODE = "__ZONE_MODE";
const FAQ_URL = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";

/** The first words are those that people search for. */
function noRoute(topic: string): Answer {
  const remark =
    `No topic route info in name server for the topic: ${quoted(topic)}\n` +
    "No broker registered here has it: create the topic, or send to a broker that creates topics by itself. " +
    `Help: ${FAQ_URL}`;
  return failure(ResponseCode.TOPIC_NOT_EXIST, remark);
}

/** Brokers of other zones go, except where the master is gone and any slave will do. */
function nearby(route: TopicRouteData, zoneName: string): TopicRouteData {
  const zone = zoneName.toLowerCase();
  const gone = new Set<string>();
  for (const data of route.brokerDatas) {
    if (data.brokerAddrs.has(MASTER_ID) && data.zoneName?.toLowerCase() !== zone) gone.add(data.brokerName);
  }
  return {
    ...route,
    brokerDatas: route.brokerDatas.filter((data) => !gone.has(data.brokerName)),
    queueDatas: route.queueDatas.filter((data) => !gone.has(data.brokerName)),
  };
}

function routeInfoByTopic(state: NameServerState, { header }: Request, connection: Connection): Answer {
  const topic = header.text("topic");
  if (topic === undefined) return missing(ResponseCode.TOPIC_NOT_EXIST, "topic");
  const { needWaitForService, waitSecondsForService, orderMessageEnable } = state.config.settings;
  if (needWaitForService && state.clock.monotonicMs() - state.startedMs < waitSecondsForService * 1000) {
    return failure(ResponseCode.SYSTEM_ERROR, "name server not ready");
  }
  let route = state.routeTable.topicRouteData(topic, connection);
  if (route === undefined) return noRoute(topic);
  if (orderMessageEnable) {
    route = { ...route, orderTopicConf: state.kvConfig.get(NAMESPACE_ORDER_TOPIC_CONFIG, topic) };
  }
  const zoneName = header.boolean(ZONE_MODE) === true ? header.text(ZONE_NAME)?.trim() : undefined;
  if (zoneName !== undefined && zoneName !== "") route = nearby(route, zoneName);
  const standard = header.version >= V4_9_4 || header.boolean("acceptStandardJsonOnly") === true;
  return jsonAnswer(topicRouteDataJson(route, standard));
}

function registerTopic(state: NameServerState, { header, body }: Request): Answer {
  const topic = requiredText(header, "topic");
  if (body.length > 0) {
    state.routeTable.registerTopic(topic, readTopicRouteData(parseBody(body, "TopicRouteData")).queueDatas);
  }
  return SUCCESS;
}

function deleteTopic(state: NameServerState, { header }: Request, connection: Connection): Answer {
  const topic = requiredText(header, "topic");
  const clusterName = header.text("clusterName");
  const asked = { topic: quoted(topic), clusterName: quoted(clusterName ?? ""), client: connection.remoteAddress };
  state.log.info(asked, "topic deleted from the name server");
  state.routeTable.deleteTopic(topic, clusterName === "" ? undefined : clusterName);
  return SUCCESS;
}

function topicList(enabled: boolean, list: () => TopicList): Answer {
  return enabled ? jsonAnswer(topicListJson(list())) : failure(ResponseCode.SYSTEM_ERROR, "disable");
}

export function topicHandlers(state: NameServerState): [number, Handler][] {
  const { routeTable: table } = state;
  const { settings } = state.config;
  return [
    [RequestCode.GET_ROUTEINFO_BY_TOPIC, (request, connection) => routeInfoByTopic(state, request, connection)],
    [RequestCode.REGISTER_TOPIC_IN_NAMESRV, (request) => registerTopic(state, request)],
    [RequestCode.DELETE_TOPIC_IN_NAMESRV, (request, connection) => deleteTopic(state, request, connection)],
    [
      RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
      () => topicList(settings.enableAllTopicList, () => table.allTopics()),
    ],
    [
      RequestCode.GET_TOPICS_BY_CLUSTER,
      ({ header }) => topicList(settings.enableTopicList, () => table.topicsOfCluster(requiredText(header, "cluster"))),
    ],
    [
      RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS,
      (_request, connection) => topicList(true, () => table.systemTopics(connection)),
    ],
    [RequestCode.GET_UNIT_TOPIC_LIST, () => topicList(settings.enableTopicList, () => table.unitTopics())],
    [RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST, () => topicList(settings.enableTopicList, () => table.unitSubTopics())],
    [
      RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
      () => topicList(settings.enableTopicList, () => table.unitSubUnUnitTopics()),
    ],
  ];
}
