/** Codes 200, 225, 207, 201, 352 and 353: consumer groups as administrators see them (AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText, SUCCESS } from "../answer.js";
import { asMap, listMember, parseBody } from "../protocol/members.js";
import type { BrokerContext } from "./context.js";
import { validateGroup } from "./names.js";
import { pageOf } from "./page.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";
import {
  readSubscriptionGroupConfig,
  type SubscriptionGroupConfig,
  subscriptionGroupConfigJson,
} from "./subscription-group-config.js";

export function registerGroupRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, createGroup);
  serve(processors, context, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, createGroupList);
  serve(processors, context, RequestCode.DELETE_SUBSCRIPTIONGROUP, deleteGroup);
  serve(processors, context, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, allGroupConfig);
  serve(processors, context, RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, groupConfig);
  serve(processors, context, RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, groupForbidden);
}

function createGroup(context: BrokerContext, { body }: Request): Answer | Promise<Answer> {
  if (body.length === 0) return SUCCESS;
  return createGroups(context, [readSubscriptionGroupConfig(parseBody(body, "SubscriptionGroupConfig"), "")]);
}

function createGroupList(context: BrokerContext, { body }: Request): Answer | Promise<Answer> {
  const list = listMember(parseBody(body, "SubscriptionGroupList"), "groupConfigList");
  const configs = list.map((group) => readSubscriptionGroupConfig(asMap(group, "groupConfigList"), ""));
  return createGroups(context, configs);
}

function createGroups(
  { config, groups }: BrokerContext,
  configs: readonly SubscriptionGroupConfig[],
): Answer | Promise<Answer> {
  for (const { groupName, retryQueueNums } of configs) {
    const problem = validateGroup(groupName);
    if (problem !== "") return failure(ResponseCode.INVALID_PARAMETER, quoted(problem));
    if (retryQueueNums < 0 || retryQueueNums > config.topicQueueCountMax) {
      const remark = `retryQueueNums ${retryQueueNums} is out of range, allowing 0 to ${config.topicQueueCountMax}.`;
      return failure(ResponseCode.INVALID_PARAMETER, remark);
    }
  }
  groups.updateAll(configs);
  return savedAnswer(groups.saver);
}

function deleteGroup({ groups, log, offsets, stats }: BrokerContext, { header }: Request): Answer | Promise<Answer> {
  const name = requiredText(header, "groupName");
  groups.delete(name);
  stats.forgetGroup(name);
  if (header.boolean("cleanOffset") !== true || !offsets.removeGroup(name)) return savedAnswer(groups.saver);
  log.info({ group: name }, "offsets of the group deleted");
  return savedAnswer([groups.saver, offsets.saver]);
}

function allGroupConfig({ config, groups }: BrokerContext, request: Request): Answer {
  const names = { sequence: "groupSeq", count: "maxGroupNum" };
  const page = pageOf(request, names, groups.values(), groups.dataVersion, config);
  return { ...jsonAnswer(groups.pageJson(page)), fields: { totalGroupNum: groups.size } };
}

function groupConfig({ groups }: BrokerContext, { header }: Request): Answer {
  const group = groups.find(requiredText(header, "group"));
  if (group !== undefined) return jsonAnswer(subscriptionGroupConfigJson(group));
  return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, "No group in this broker");
}

/** Says whether the group may read the topic, and changes that first where asked to. */
function groupForbidden({ groups, topics }: BrokerContext, { header }: Request): Answer | Promise<Answer> {
  const group = requiredText(header, "group");
  const topic = requiredText(header, "topic");
  const readable = header.boolean("readable");
  if (readable === false) {
    if (topics.get(topic) === undefined) {
      return failure(ResponseCode.TOPIC_NOT_EXIST, `topic[${quoted(topic)}] not exist`);
    }
    if (groups.find(group) === undefined) {
      return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `subscription group [${quoted(group)}] does not exist`);
    }
  }
  if (readable !== undefined) groups.setReadForbidden(group, topic, !readable);
  const now = jsonAnswer({ group, readable: !groups.isReadForbidden(group, topic), topic });
  return savedAnswer(groups.saver, now);
}
