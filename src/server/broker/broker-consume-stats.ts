/**
 * Code 317: how far every group is behind in every topic it has read (AdminBrokerProcessor.java
 * #fetchAllConsumeStatsInBroker). It looks into every queue, so it lets go of the event loop now and then.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type FastjsonInput, JavaDouble } from "../../remoting/fastjson.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer } from "../answer.js";
import { QUEUES_TOLD_MAX, queueStats } from "./consume-stats.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { serveLate, settled } from "./serve.js";
import type { Topic } from "./topic-config.js";

const QUEUES_AT_A_STRETCH = 256;

export function registerBrokerConsumeStats(processors: Map<number, Processor>, context: BrokerContext): void {
  serveLate(processors, context, RequestCode.GET_BROKER_CONSUME_STATS, brokerConsumeStats);
}

interface Totals {
  totalDiff: number;
  totalInflightDiff: number;
  queues: number;
}

async function brokerConsumeStats(context: BrokerContext, { header }: Request): Promise<Answer> {
  const { brokerAddress, groups } = context;
  const orderOnly = header.boolean("isOrder") === true;
  await settled(context);
  const totals: Totals = { totalDiff: 0, totalInflightDiff: 0, queues: 0 };
  const consumeStatsList: FastjsonInput[] = [];
  let letGoAt = QUEUES_AT_A_STRETCH;
  for (const { name } of [...groups.values()]) {
    consumeStatsList.push(new Map([[name, groupStats(context, name, orderOnly, totals)]]));
    if (totals.queues > QUEUES_TOLD_MAX) return tooMany();
    if (totals.queues < letGoAt) continue;
    letGoAt = totals.queues + QUEUES_AT_A_STRETCH;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { totalDiff, totalInflightDiff } = totals;
  return jsonAnswer({ brokerAddr: brokerAddress(), consumeStatsList, totalDiff, totalInflightDiff });
}

function tooMany(): Answer {
  const remark = `One answer tells of ${QUEUES_TOLD_MAX} queues, and groups have read more: ask for one at a time.`;
  return failure(ResponseCode.SYSTEM_ERROR, remark);
}

function groupStats(context: BrokerContext, group: string, orderOnly: boolean, totals: Totals): FastjsonInput[] {
  const { consumers, offsets, topics } = context;
  const stats: FastjsonInput[] = [];
  for (const name of offsets.topicsOf(group)) {
    const topic = topics.get(name);
    if (topic === undefined || (orderOnly && !topic.order)) continue;
    if (consumers.subscriptionCount(group) > 0 && consumers.findSubscription(group, name) === undefined) continue;
    totals.queues += topic.writeQueueNums;
    if (totals.queues > QUEUES_TOLD_MAX) break;
    stats.push(topicStats(context, group, topic, totals));
  }
  return stats;
}

/** Pull offsets are not told here: Apache leaves them 0, also in the sum. */
function topicStats({ config, offsets, stats, store }: BrokerContext, group: string, topic: Topic, totals: Totals) {
  const offsetTable = new Map<object, FastjsonInput>();
  for (let queueId = 0; queueId < topic.writeQueueNums; queueId++) {
    const queue = { ...queueStats({ offsets, store }, group, topic, queueId), pullOffset: 0 };
    totals.totalDiff += queue.brokerOffset - queue.consumerOffset;
    totals.totalInflightDiff -= queue.consumerOffset;
    offsetTable.set(messageQueueJson({ topic: topic.name, brokerName: config.brokerName, queueId }), queue);
  }
  return { consumeTps: new JavaDouble(stats.groupGetTps(group, topic.name)), offsetTable };
}
