/**
 * Code 28: how the broker does, under the names that Apache's tools and exporters look for (AdminBrokerProcessor.java
 * #prepareRuntimeInfo, StoreStatsService.java#getRuntimeInfo). CometMQ has no request queues: their lengths are 0, and
 * their capacities are Apache's, so that a quotient is never undefined.
 */
import { RequestCode } from "../../remoting/codes.js";
import { CURRENT_VERSION, versionName } from "../../remoting/mq-version.js";
import type { Processor } from "../../remoting/types.js";
import { jsonAnswer } from "../answer.js";
import { kvTableJson } from "../protocol/kv-table.js";
import type { BrokerContext } from "./context.js";
import { SCHEDULE_TOPIC } from "./default-topics.js";
import type { Meter } from "./meter.js";
import { hasQueue } from "./queue-lookup.js";
import { serve } from "./serve.js";
import { topicQueue } from "./topic-config.js";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export function registerRuntimeInfo(processors: Map<number, Processor>, context: BrokerContext): void {
  const handler = (broker: BrokerContext) => jsonAnswer(kvTableJson(runtimeInfo(broker)));
  serve(processors, context, RequestCode.GET_BROKER_RUNTIME_INFO, handler);
}

export function runtimeInfo(context: BrokerContext): Map<string, string> {
  return new Map(
    Object.entries({
      ...countInfo(context),
      ...storeInfo(context),
      ...delayInfo(context),
      ...queueInfo,
      brokerActive: "true",
      brokerVersionDesc: versionName(CURRENT_VERSION),
      startAcceptSendRequestTimeStamp: String(context.config.startAcceptSendRequestTimeStamp),
      ...timerInfo(context),
    }),
  );
}

function timerInfo({ timerMetrics }: BrokerContext): Record<string, string> {
  const { readBehindMs, offsetBehind, congestCount, enqueueTps, dequeueTps } = timerMetrics.figures();
  return {
    timerReadBehind: String(Math.floor(readBehindMs / SECOND_MS)),
    timerOffsetBehind: String(offsetBehind),
    timerCongestNum: String(congestCount),
    timerEnqueueTps: javaDouble(enqueueTps),
    timerDequeueTps: javaDouble(dequeueTps),
  };
}

function countInfo({ clock, stats }: BrokerContext): Record<string, string> {
  const { puts, putsByDay, getsByDay, transferred } = stats;
  const putCount = Math.max(1, puts.total);
  const gets = [stats.getsFound, stats.getsMissed];
  return {
    bootTimestamp: String(stats.startedMs),
    runtime: duration(clock.nowMs() - stats.startedMs),
    putMessageEntireTimeMax: String(Math.round(stats.putTimeMsMax)),
    putMessageTimesTotal: String(putCount),
    putMessageFailedTimes: String(stats.putsFailed),
    // Not a figure of Apache's: told where there is something to tell.
    ...(stats.lightQueueMessagesMissed > 0 && { lightQueueMessagesMissed: String(stats.lightQueueMessagesMissed) }),
    putMessageSizeTotal: String(stats.putBytes),
    putMessageDistributeTime: stats.putTimeDistribution(),
    putMessageAverageSize: javaDouble(stats.putBytes / putCount),
    dispatchMaxBuffer: "0",
    getMessageEntireTimeMax: String(Math.round(stats.getTimeMsMax)),
    putTps: tps([puts]),
    getFoundTps: tps([stats.getsFound]),
    getMissTps: tps([stats.getsMissed]),
    getTotalTps: tps(gets),
    getTransferredTps: tps([transferred]),
    putLatency99: stats.putTimeMsAt(0.99).toFixed(2),
    putLatency999: stats.putTimeMsAt(0.999).toFixed(2),
    msgPutTotalYesterdayMorning: String(putsByDay.yesterdayMorning),
    msgPutTotalTodayMorning: String(putsByDay.todayMorning),
    msgPutTotalTodayNow: String(puts.total),
    msgGetTotalYesterdayMorning: String(getsByDay.yesterdayMorning),
    msgGetTotalTodayMorning: String(getsByDay.todayMorning),
    msgGetTotalTodayNow: String(transferred.total),
  };
}

function storeInfo({ store }: BrokerContext): Record<string, string> {
  const use = store.diskUse();
  const commitLogRatio = usedRatio(use.commitLogTotalBytes, use.commitLogFreeBytes);
  const total = byteCount(use.commitLogTotalBytes);
  return {
    [`commitLogDiskRatio_${use.commitLogPath}`]: commitLogRatio,
    commitLogDiskRatio: commitLogRatio,
    consumeQueueDiskRatio: usedRatio(use.consumeQueueTotalBytes, use.consumeQueueFreeBytes),
    commitLogMinOffset: String(store.minPhyOffset()),
    commitLogMaxOffset: String(store.maxPhyOffset()),
    commitLogDirCapacity: `Total : ${total}, Free : ${byteCount(use.commitLogFreeBytes)}.`,
    dispatchBehindBytes: String(store.dispatchBehindBytes()),
    earliestMessageTimeStamp: String(store.earliestMessageTimestamp()),
    remainHowManyDataToFlush: byteCount(store.flushBehindBytes()),
    remainTransientStoreBufferNumbs: "2147483647",
    pageCacheLockTimeMills: "0",
  };
}

/** For each delay level in use: the next message to deliver, and the end of its queue. */
function delayInfo({ delayOffsets, store, topics }: BrokerContext): Record<string, string> {
  const topic = topics.get(SCHEDULE_TOPIC);
  const info: Record<string, string> = {};
  if (topic === undefined) return info;
  for (const [level, offset] of delayOffsets.entries()) {
    if (!hasQueue(topic, level - 1)) continue;
    const maxOffset = Math.max(0, store.maxOffset(topicQueue(store, topic, level - 1)));
    info[`scheduleMessageOffset_${level}`] = `${offset},${maxOffset}`;
  }
  return info;
}

const queueInfo: Readonly<Record<string, string>> = {
  sendThreadPoolQueueSize: "0",
  sendThreadPoolQueueCapacity: "10000",
  sendThreadPoolQueueHeadWaitTimeMills: "0",
  pullThreadPoolQueueSize: "0",
  pullThreadPoolQueueCapacity: "100000",
  pullThreadPoolQueueHeadWaitTimeMills: "0",
  litePullThreadPoolQueueSize: "0",
  litePullThreadPoolQueueCapacity: "100000",
  litePullThreadPoolQueueHeadWaitTimeMills: "0",
  queryThreadPoolQueueSize: "0",
  queryThreadPoolQueueCapacity: "20000",
  queryThreadPoolQueueHeadWaitTimeMills: "0",
  ackThreadPoolQueueSize: "0",
  ackThreadPoolQueueCapacity: "100000",
  ackThreadPoolQueueHeadWaitTimeMills: "0",
  EndTransactionQueueSize: "0",
  EndTransactionThreadPoolQueueCapacity: "100000",
};

/** Rates over the last ten seconds, minute and ten minutes. */
function tps(meters: readonly Meter[]): string {
  const rate = (intervals: number) => meters.reduce((sum, meter) => sum + meter.rate(intervals), 0);
  return [1, 6, 60].map((intervals) => javaDouble(rate(intervals))).join(" ");
}

/** As Java prints doubles of ordinary size: with a fraction even when it is 0. */
function javaDouble(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function duration(elapsedMs: number): string {
  const days = Math.floor(elapsedMs / DAY_MS);
  const hours = Math.floor((elapsedMs % DAY_MS) / HOUR_MS);
  const minutes = Math.floor((elapsedMs % HOUR_MS) / MINUTE_MS);
  const seconds = Math.floor((elapsedMs % MINUTE_MS) / SECOND_MS);
  return `[ ${days} days, ${hours} hours, ${minutes} minutes, ${seconds} seconds ]`;
}

/** Hundredths, rounded up; -1 where the device tells nothing. */
function usedRatio(totalBytes: number, freeBytes: number): string {
  if (totalBytes <= 0) return "-1.0";
  return javaDouble(Math.ceil(((totalBytes - freeBytes) * 100) / totalBytes) / 100);
}

function byteCount(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(6, Math.floor(Math.log(bytes) / Math.log(1024)));
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${"KMGTPE"[exponent - 1]}iB`;
}
