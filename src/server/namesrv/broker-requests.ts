/**
 * What brokers and their administrators ask of the name server. Headers: remoting/protocol/header/namesrv/*.java;
 * answers: namesrv/processor/DefaultRequestProcessor.java.
 */
import { crc32 } from "node:zlib";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { toFastjson } from "../../remoting/fastjson.js";
import { versionOrdinal } from "../../remoting/mq-version.js";
import type { Connection, Request } from "../../remoting/types.js";
import { brokerMemberGroupJson, clusterInfoJson } from "../protocol/cluster-info.js";
import { dataVersionJson, NO_DATA_VERSION, readDataVersion, sameDataVersion } from "../protocol/data-version.js";
import { kvTableJson } from "../protocol/kv-table.js";
import { parseBody } from "../protocol/members.js";
import { readRegisterBrokerBody } from "../protocol/register-broker-body.js";
import { readTopicConfigWrapper, type TopicConfigWrapper } from "../protocol/topic-config-wrapper.js";
import {
  type Answer,
  failure,
  type Handler,
  jsonAnswer,
  optionalInteger,
  optionalInt,
  quoted,
  requiredInteger,
  requiredText,
  SUCCESS,
} from "../answer.js";
import { NAMESPACE_ORDER_TOPIC_CONFIG } from "./kv-config.js";
import type { NameServerState } from "./state.js";

/** Older brokers send their topics alone. */
const V3_0_11 = versionOrdinal("3.0.11")!;
const ZONE_NAME = "__ZONE_NAME";

function readTopics(request: Request): TopicConfigWrapper {
  const { header, body } = request;
  if (header.version >= V3_0_11) {
    return readRegisterBrokerBody(body, header.boolean("compressed") === true, header.version);
  }
  if (body.length === 0) return { dataVersion: NO_DATA_VERSION, topicConfigTable: new Map() };
  return readTopicConfigWrapper(parseBody(body, "TopicConfigSerializeWrapper"));
}

function registerBroker(state: NameServerState, request: Request, connection: Connection): Answer {
  const { header, body } = request;
  const bodyCrc32 = optionalInt(header, "bodyCrc32") ?? 0;
  if (bodyCrc32 !== 0 && bodyCrc32 !== (crc32(body) & 0x7fffffff)) {
    return failure(ResponseCode.SYSTEM_ERROR, "crc32 not match");
  }
  const result = state.routeTable.register(
    {
      clusterName: requiredText(header, "clusterName"),
      brokerName: requiredText(header, "brokerName"),
      brokerAddr: requiredText(header, "brokerAddr"),
      brokerId: requiredInteger(header, "brokerId"),
      haServerAddr: requiredText(header, "haServerAddr"),
      zoneName: header.text(ZONE_NAME),
      heartbeatTimeoutMs: optionalInteger(header, "heartbeatTimeoutMillis"),
      enableActingMaster: header.boolean("enableActingMaster"),
      ...readTopics(request),
    },
    connection,
  );
  if (result.refused !== undefined) {
    return failure(ResponseCode.SYSTEM_ERROR, quoted(`register broker failed: ${result.refused}`));
  }
  const { returnOrderTopicConfigToBroker } = state.config.settings;
  const order = returnOrderTopicConfigToBroker ? state.kvConfig.list(NAMESPACE_ORDER_TOPIC_CONFIG) : undefined;
  return {
    code: ResponseCode.SUCCESS,
    fields: { haServerAddr: result.haServerAddr, masterAddr: result.masterAddr },
    body: order === undefined ? undefined : Buffer.from(toFastjson(kvTableJson(order))),
  };
}

function unregisterBroker(state: NameServerState, { header }: Request, connection: Connection): Answer {
  const clusterName = requiredText(header, "clusterName");
  const brokerAddr = requiredText(header, "brokerAddr");
  const brokerName = requiredText(header, "brokerName");
  requiredInteger(header, "brokerId");
  state.routeTable.unregister(clusterName, brokerAddr, brokerName, connection);
  return SUCCESS;
}

function brokerHeartbeat(state: NameServerState, { header }: Request): Answer {
  const clusterName = requiredText(header, "clusterName");
  const brokerAddr = requiredText(header, "brokerAddr");
  requiredText(header, "brokerName");
  state.routeTable.heartbeat(clusterName, brokerAddr);
  return SUCCESS;
}

/** Tells whether a registration would bring anything new; it counts as a sign of life too. */
function queryDataVersion(state: NameServerState, { header, body }: Request): Answer {
  const clusterName = requiredText(header, "clusterName");
  const brokerAddr = requiredText(header, "brokerAddr");
  requiredText(header, "brokerName");
  requiredInteger(header, "brokerId");
  const asked = body.length === 0 ? undefined : readDataVersion(parseBody(body, "DataVersion"));
  const known = state.routeTable.dataVersion(clusterName, brokerAddr);
  state.routeTable.heartbeat(clusterName, brokerAddr);
  return {
    code: ResponseCode.SUCCESS,
    fields: { changed: known === undefined || asked === undefined || !sameDataVersion(known, asked) },
    body: known === undefined ? undefined : Buffer.from(toFastjson(dataVersionJson(known))),
  };
}

function brokerMemberGroup(state: NameServerState, { header }: Request, connection: Connection): Answer {
  const clusterName = requiredText(header, "clusterName");
  const brokerName = requiredText(header, "brokerName");
  return jsonAnswer(brokerMemberGroupJson(state.routeTable.brokerMemberGroup(clusterName, brokerName, connection)));
}

function changeWritePerm(state: NameServerState, request: Request, connection: Connection, writable: boolean): Answer {
  const brokerName = requiredText(request.header, "brokerName");
  const count = writable ? state.routeTable.addWritePerm(brokerName) : state.routeTable.wipeWritePerm(brokerName);
  const asked = { brokerName: quoted(brokerName), writable, topicCount: count, client: connection.remoteAddress };
  state.log.info(asked, "write permission of a broker changed");
  return { code: ResponseCode.SUCCESS, fields: { [writable ? "addTopicCount" : "wipeTopicCount"]: count } };
}

export function brokerHandlers(state: NameServerState): [number, Handler][] {
  return [
    [RequestCode.REGISTER_BROKER, (request, connection) => registerBroker(state, request, connection)],
    [RequestCode.UNREGISTER_BROKER, (request, connection) => unregisterBroker(state, request, connection)],
    [RequestCode.BROKER_HEARTBEAT, (request) => brokerHeartbeat(state, request)],
    [RequestCode.QUERY_DATA_VERSION, (request) => queryDataVersion(state, request)],
    [RequestCode.GET_BROKER_MEMBER_GROUP, (request, connection) => brokerMemberGroup(state, request, connection)],
    [
      RequestCode.GET_BROKER_CLUSTER_INFO,
      (_request, connection) => jsonAnswer(clusterInfoJson(state.routeTable.clusterInfo(connection))),
    ],
    [
      RequestCode.WIPE_WRITE_PERM_OF_BROKER,
      (request, connection) => changeWritePerm(state, request, connection, false),
    ],
    [RequestCode.ADD_WRITE_PERM_OF_BROKER, (request, connection) => changeWritePerm(state, request, connection, true)],
  ];
}
