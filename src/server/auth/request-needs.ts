/**
 * What each request asks for, and which action on it is enough (auth/authorization/builder/
 * DefaultAuthorizationContextBuilder.java, and the @RocketMQAction and @RocketMQResource of request headers).
 *
 * Apache lets every user do what has no such annotation: change the configuration, make groups, read all offsets. Here
 * those need the cluster, or what their body names; and a code that is not in the table needs `Cluster` with Update.
 */
import { CometError } from "../../base/errors.js";
import { RequestCode } from "../../remoting/codes.js";
import type { FastjsonMap } from "../../remoting/fastjson.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { Request } from "../../remoting/types.js";
import { asMap, listMember, mapMember, parseBody, textMember } from "../protocol/members.js";
import type { Need } from "./policy.js";
import { type Action, groupOfRetryTopic, isRetryTopic, type ResourceType } from "./resource.js";

const NAMES_MAX = 8192;

type Asked = (request: Request, clusterName: string) => Need[];

/** Which ext field names what is asked for. */
interface FieldNeed {
  readonly type: ResourceType;
  readonly field: string;
  readonly actions: readonly Action[];
  readonly optional?: boolean;
  /** The field holds several names. */
  readonly separator?: string;
}

const topic = (field: string, ...actions: Action[]): FieldNeed => ({ type: "Topic", field, actions });
const group = (field: string, ...actions: Action[]): FieldNeed => ({ type: "Group", field, actions });
const ifGiven = (need: FieldNeed): FieldNeed => ({ ...need, optional: true });

/** What fields name; `otherwise` on the cluster where all of them are optional and none is there. */
function fields(needs: readonly FieldNeed[], ...otherwise: Action[]): Asked {
  return ({ header }, clusterName) => {
    const asked = needs.flatMap((need) => askedBy(need, header));
    return asked.length > 0 || otherwise.length === 0 ? asked : [onCluster(clusterName, otherwise)];
  };
}

function askedBy({ type, field, actions, optional, separator }: FieldNeed, header: HeaderView): Need[] {
  const value = header.text(field) ?? "";
  if (value === "" && optional === true) return [];
  if (separator === undefined) return [needOf(type, value, actions)];
  const names = value.split(separator).filter((name) => name !== "");
  return checkedCount(names).map((name) => needOf(type, name, actions));
}

/** A retry topic is its group's. */
export function needOf(type: ResourceType, name: string, actions: readonly Action[]): Need {
  return type === "Topic" && isRetryTopic(name)
    ? { type: "Group", name: groupOfRetryTopic(name), actions: withSub(actions) }
    : { type, name: type === "Group" && isRetryTopic(name) ? groupOfRetryTopic(name) : name, actions };
}

/** What producers may do to a topic, consumers may do to their group's. */
function withSub(actions: readonly Action[]): readonly Action[] {
  return actions.includes("Pub") ? [...actions.filter((action) => action !== "Pub"), "Sub"] : actions;
}

function onCluster(clusterName: string, actions: readonly Action[]): Need {
  return { type: "Cluster", name: clusterName, actions };
}

function cluster(...actions: Action[]): Asked {
  return (_request, clusterName) => [onCluster(clusterName, actions)];
}

/** The cluster that a field names; this one without it. An empty name is met by a policy for all clusters only. */
function clusterIn(field: string, ...actions: Action[]): Asked {
  return ({ header }, clusterName) => [onCluster(header.text(field) ?? clusterName, actions)];
}

/** What the JSON of a body names; nothing where there is no body. */
function body(read: (map: FastjsonMap) => Need[]): Asked {
  return (request) => (request.body.length === 0 ? [] : checkedCount(read(parseBody(request.body, "The body"))));
}

function checkedCount<T>(list: T[]): T[] {
  if (list.length <= NAMES_MAX) return list;
  throw new CometError("COMETMQ_BAD_REQUEST", `The request names more than ${NAMES_MAX} topics and groups.`);
}

function topicOf(map: FastjsonMap, name: string, ...actions: Action[]): Need {
  return needOf("Topic", textMember(map, name) ?? "", actions);
}

function groupOf(map: FastjsonMap, name: string, ...actions: Action[]): Need {
  return needOf("Group", textMember(map, name) ?? "", actions);
}

const heartbeat = body((map) =>
  listMember(map, "consumerDataSet").flatMap((value) => {
    const consumer = asMap(value, "consumerDataSet");
    const subscriptions = listMember(consumer, "subscriptionDataSet").map((data) => asMap(data, "subscriptionDataSet"));
    return [groupOf(consumer, "groupName", "Sub"), ...subscriptions.map((data) => topicOf(data, "topic", "Sub"))];
  }),
);

const queueLocks = body((map) => {
  const topics = new Set(listMember(map, "mqSet").map((queue) => textMember(asMap(queue, "mqSet"), "topic") ?? ""));
  return [groupOf(map, "consumerGroup", "Sub"), ...[...topics].map((name) => needOf("Topic", name, ["Sub"]))];
});

const clientConfig = body((map) => {
  const subscription = mapMember(map, "subscriptionData");
  const named = subscription === undefined ? [] : [topicOf(subscription, "topic", "Sub")];
  return [groupOf(map, "group", "Sub"), ...named];
});

const consumerOfTopic = (...actions: Action[]) =>
  body((map) => [groupOf(map, "consumerGroup", ...actions), topicOf(map, "topic", ...actions)]);

/** Whoever holds a message's handle has it of a pop, which was asked for its topic. */
const batchAck = body((map) =>
  listMember(map, "acks").map((value) => {
    const ack = asMap(value, "acks");
    return needOf("Group", textMember(ack, "c") ?? textMember(ack, "consumerGroup") ?? "", ["Sub"]);
  }),
);

const madeGroups = (list: string) =>
  body((map) => listMember(map, list).map((value) => groupOf(asMap(value, list), "groupName", "Create", "Update")));

const madeTopics = body((map) =>
  listMember(map, "topicConfigList").map((value) => topicOf(asMap(value, "topicConfigList"), "topicName", "Create")),
);

/** The retry topic of a pop is named after its group and its topic: for the group's consumers, the group is enough. */
const popped: Asked = ({ header }) => {
  const groupName = header.text("consumerGroup") ?? "";
  const name = header.text("topic") ?? "";
  const own = isRetryTopic(name) && /^[_+]/.test(groupOfRetryTopic(name).slice(groupName.length));
  const ofGroup = needOf("Group", groupName, ["Sub"]);
  return own && groupOfRetryTopic(name).startsWith(groupName) ? [ofGroup] : [ofGroup, needOf("Topic", name, ["Sub"])];
};

const consumed = fields([group("consumerGroup", "Sub"), topic("topic", "Sub")]);
const queueRead = fields([topic("topic", "Sub", "Get")]);
const clusterRead = cluster("Get", "List");
const clusterChange = cluster("Update");
/** Any user's: replies go to one client, which has asked for them. */
const anyUser: Asked = () => [];

const NEEDS: readonly (readonly [Asked, ...number[]])[] = [
  // Producers
  [fields([topic("topic", "Pub")]), RequestCode.SEND_MESSAGE, RequestCode.RECALL_MESSAGE],
  [fields([topic("b", "Pub")]), RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE],
  // 4.x clients do not say which topic it is.
  [fields([ifGiven(topic("topic", "Pub"))]), RequestCode.END_TRANSACTION],
  [anyUser, RequestCode.SEND_REPLY_MESSAGE, RequestCode.SEND_REPLY_MESSAGE_V2],
  // Consumers
  [consumed, RequestCode.PULL_MESSAGE, RequestCode.LITE_PULL_MESSAGE, RequestCode.POP_MESSAGE],
  [consumed, RequestCode.PEEK_MESSAGE, RequestCode.NOTIFICATION],
  [popped, RequestCode.ACK_MESSAGE, RequestCode.CHANGE_MESSAGE_INVISIBLETIME],
  [batchAck, RequestCode.BATCH_ACK_MESSAGE],
  [fields([group("group", "Sub")]), RequestCode.CONSUMER_SEND_MSG_BACK],
  [heartbeat, RequestCode.HEART_BEAT],
  [clientConfig, RequestCode.CHECK_CLIENT_CONFIG],
  [fields([ifGiven(group("consumerGroup", "Sub"))]), RequestCode.UNREGISTER_CLIENT],
  [fields([group("consumerGroup", "Sub", "Get")]), RequestCode.GET_CONSUMER_LIST_BY_GROUP],
  [fields([topic("topic", "Sub", "Get"), group("consumerGroup", "Sub", "Get")]), RequestCode.QUERY_CONSUMER_OFFSET],
  [
    fields([topic("topic", "Sub", "Update"), group("consumerGroup", "Sub", "Update")]),
    RequestCode.UPDATE_CONSUMER_OFFSET,
  ],
  [queueLocks, RequestCode.LOCK_BATCH_MQ, RequestCode.UNLOCK_BATCH_MQ],
  [consumerOfTopic("Sub"), RequestCode.QUERY_ASSIGNMENT],
  // A consumer without an offset begins with these, which Apache keeps for those who may Get.
  [queueRead, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, RequestCode.GET_MAX_OFFSET, RequestCode.GET_MIN_OFFSET],
  [queueRead, RequestCode.GET_EARLIEST_MSG_STORETIME, RequestCode.QUERY_MESSAGE],
  [fields([topic("topic", "Pub", "Sub", "Get")]), RequestCode.GET_ROUTEINFO_BY_TOPIC],
  // Topics and groups
  [fields([topic("topic", "Create")]), RequestCode.UPDATE_AND_CREATE_TOPIC, RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC],
  [madeTopics, RequestCode.UPDATE_AND_CREATE_TOPIC_LIST],
  [fields([topic("topic", "Delete")]), RequestCode.DELETE_TOPIC_IN_BROKER],
  [body((map) => [groupOf(map, "groupName", "Create", "Update")]), RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP],
  [madeGroups("groupConfigList"), RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST],
  [fields([group("groupName", "Delete")]), RequestCode.DELETE_SUBSCRIPTIONGROUP],
  [
    fields([topic("topic", "Get")]),
    RequestCode.GET_TOPIC_CONFIG,
    RequestCode.GET_TOPIC_STATS_INFO,
    RequestCode.QUERY_TOPIC_CONSUME_BY_WHO,
  ],
  [fields([ifGiven(topic("topic", "Get"))], "Get"), RequestCode.VIEW_MESSAGE_BY_ID],
  [fields([ifGiven(topic("topic", "Update"))], "Update"), RequestCode.RESUME_CHECK_HALF_MESSAGE],
  [fields([group("group", "Get")]), RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, RequestCode.QUERY_TOPICS_BY_CONSUMER],
  [
    fields([group("consumerGroup", "Get")]),
    RequestCode.GET_CONSUMER_CONNECTION_LIST,
    RequestCode.GET_CONSUMER_RUNNING_INFO,
  ],
  [
    fields([group("group", "Get"), topic("topic", "Get")]),
    RequestCode.QUERY_CONSUME_TIME_SPAN,
    RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
  ],
  [fields([group("group", "Get"), ifGiven(topic("topic", "Get"))]), RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER],
  [
    fields([
      group("consumerGroup", "Get"),
      ifGiven(topic("topic", "Get")),
      { type: "Topic", field: "topicList", actions: ["Get"], optional: true, separator: ";" },
    ]),
    RequestCode.GET_CONSUME_STATS,
  ],
  [fields([group("consumerGroup", "Get"), topic("topic", "Get")]), RequestCode.POLLING_INFO],
  [fields([topic("topic", "Get"), ifGiven(group("consumerGroup", "Get"))]), RequestCode.QUERY_CONSUME_QUEUE],
  [fields([group("consumerGroup", "Sub"), ifGiven(topic("topic", "Sub"))]), RequestCode.CONSUME_MESSAGE_DIRECTLY],
  [fields([group("group", "Update"), topic("topic", "Update")]), RequestCode.INVOKE_BROKER_TO_RESET_OFFSET],
  [
    fields([group("srcGroup", "Get", "Update"), group("destGroup", "Update"), ifGiven(topic("topic", "Update"))]),
    RequestCode.CLONE_GROUP_OFFSET,
  ],
  [consumerOfTopic("Update"), RequestCode.SET_MESSAGE_REQUEST_MODE],
  // Broker and cluster
  [clusterRead, RequestCode.GET_ALL_TOPIC_CONFIG, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG],
  [clusterRead, RequestCode.GET_ALL_MESSAGE_REQUEST_MODE, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER],
  [cluster("Get"), RequestCode.GET_BROKER_CONFIG, RequestCode.GET_BROKER_RUNTIME_INFO],
  [cluster("Get"), RequestCode.GET_ALL_CONSUMER_OFFSET, RequestCode.GET_ALL_DELAY_OFFSET],
  [cluster("Get"), RequestCode.GET_TIMER_CHECK_POINT, RequestCode.GET_TIMER_METRICS],
  [cluster("Get"), RequestCode.GET_PRODUCER_CONNECTION_LIST, RequestCode.GET_ALL_PRODUCER_INFO],
  [cluster("Get"), RequestCode.GET_BROKER_CONSUME_STATS, RequestCode.VIEW_BROKER_STATS_DATA],
  [cluster("Get"), RequestCode.GET_BROKER_HA_STATUS, RequestCode.GET_COLD_DATA_FLOW_CTR_INFO],
  [clusterChange, RequestCode.UPDATE_BROKER_CONFIG, RequestCode.SET_COMMITLOG_READ_MODE],
  [clusterChange, RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG, RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG],
  [clusterChange, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, RequestCode.CLEAN_UNUSED_TOPIC],
  [clusterChange, RequestCode.DELETE_EXPIRED_COMMITLOG],
  // Name server
  [clusterIn("clusterName", "Update"), RequestCode.REGISTER_BROKER, RequestCode.UNREGISTER_BROKER],
  [clusterIn("clusterName", "Update"), RequestCode.BROKER_HEARTBEAT, RequestCode.DELETE_TOPIC_IN_NAMESRV],
  [clusterIn("clusterName", "Get"), RequestCode.QUERY_DATA_VERSION, RequestCode.GET_BROKER_MEMBER_GROUP],
  [clusterChange, RequestCode.PUT_KV_CONFIG, RequestCode.DELETE_KV_CONFIG, RequestCode.UPDATE_NAMESRV_CONFIG],
  [clusterChange, RequestCode.WIPE_WRITE_PERM_OF_BROKER, RequestCode.ADD_WRITE_PERM_OF_BROKER],
  [clusterChange, RequestCode.REGISTER_TOPIC_IN_NAMESRV],
  [cluster("Get"), RequestCode.GET_KV_CONFIG, RequestCode.GET_KVLIST_BY_NAMESPACE, RequestCode.GET_NAMESRV_CONFIG],
  [clusterRead, RequestCode.GET_BROKER_CLUSTER_INFO, RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER],
  [clusterRead, RequestCode.GET_TOPICS_BY_CLUSTER, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS],
  [clusterRead, RequestCode.GET_UNIT_TOPIC_LIST, RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST],
  [clusterRead, RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST],
  // Users and policies
  [clusterChange, RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, RequestCode.RESET_MASTER_FLUSH_OFFSET],
  [clusterChange, RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE, RequestCode.NOTIFY_BROKER_ROLE_CHANGED],
  [clusterChange, RequestCode.EXCHANGE_BROKER_HA_INFO],
  [clusterChange, RequestCode.SWITCH_TIMER_ENGINE, RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON, RequestCode.POP_ROLLBACK],
  [cluster("Get"), RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS],
  [cluster("Get"), RequestCode.QUERY_CORRECTION_OFFSET, RequestCode.GET_BROKER_EPOCH_CACHE],
  [clusterChange, RequestCode.AUTH_CREATE_USER, RequestCode.AUTH_UPDATE_USER, RequestCode.AUTH_DELETE_USER],
  [clusterChange, RequestCode.AUTH_CREATE_ACL, RequestCode.AUTH_UPDATE_ACL, RequestCode.AUTH_DELETE_ACL],
  [cluster("Get"), RequestCode.AUTH_GET_USER, RequestCode.AUTH_LIST_USER],
  [cluster("Get"), RequestCode.AUTH_GET_ACL, RequestCode.AUTH_LIST_ACL],
];

const byCode = new Map(NEEDS.flatMap(([asked, ...codes]) => codes.map((code): [number, Asked] => [code, asked])));

/** Codes that the table knows. */
export function knownCodes(): ReadonlySet<number> {
  return new Set(byCode.keys());
}

/** All of it must be allowed. Throws COMETMQ_BAD_REQUEST for a body that is none. */
export function needsOf(request: Request, clusterName: string): Need[] {
  return (byCode.get(request.header.code) ?? clusterChange)(request, clusterName);
}
