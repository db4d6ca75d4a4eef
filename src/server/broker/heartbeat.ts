/** Code 34: a client says who it is (broker/processor/ClientManageProcessor.java#heartBeat, heartBeatV2). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import type { Answer } from "../answer.js";
import { PERM_READ, PERM_WRITE, SYS_FLAG_UNIT_SUB } from "../protocol/topic-config.js";
import type { ClientIdentity } from "./client-channel.js";
import type { BrokerContext } from "./context.js";
import { type ConsumerData, type HeartbeatData, readHeartbeatData } from "./heartbeat-data.js";
import { retryTopic } from "./names.js";
import { serve } from "./serve.js";

export function registerHeartbeat(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.HEART_BEAT, heartbeat);
}

function heartbeat(context: BrokerContext, { header, body }: Request, connection: Connection): Answer {
  const data = readHeartbeatData(body);
  const { clientId, fingerprint } = data;
  const client = { connection, clientId, language: header.language, version: header.version };
  // Clients of the first version always send their subscriptions and are always told to.
  let subscriptionWanted = fingerprint === 0;
  for (const consumer of data.consumers) {
    if (registerConsumer(context, client, consumer, data)) subscriptionWanted = true;
  }
  for (const group of data.producerGroups) context.producers.register(group, client);
  const fields = { IS_SUPPORT_HEART_BEAT_V2: true, IS_SUB_CHANGE: subscriptionWanted };
  return { code: ResponseCode.SUCCESS, fields };
}

/** Answers whether the client shall send its subscriptions again. */
function registerConsumer(
  context: BrokerContext,
  client: ClientIdentity,
  data: ConsumerData,
  { fingerprint, withoutSub }: HeartbeatData,
): boolean {
  const { config, consumers, groups, topics } = context;
  if (config.rejectPullConsumerEnable && data.consumeType === "CONSUME_ACTIVELY") return false;
  const group = groups.find(data.groupName);
  if (group === undefined) return false;
  const ordered = data.subscriptions.some(({ topic }) => topics.isOrderTopic(topic));
  const topicSysFlag = data.unitMode ? SYS_FLAG_UNIT_SUB : 0;
  const retry = retryTopic(group.name);
  topics.createInSendMessageBack(retry, group.retryQueueNums, PERM_READ | PERM_WRITE, ordered, topicSysFlag);
  const withoutSubscriptions = fingerprint !== 0 && withoutSub;
  consumers.register(client, data, withoutSubscriptions, group.notifyConsumerIdsChangedEnable);

  const live = consumers.get(group.name);
  if (live === undefined) return false;
  const before = live.fingerprint;
  live.fingerprint = fingerprint;
  // After a restart of the broker a client that leaves its subscriptions out has not told them to this process.
  const untold = withoutSubscriptions && live.subscriptions.size === 0;
  return untold || (before !== undefined && before !== fingerprint);
}
