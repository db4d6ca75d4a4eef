/** Where a topic's queues are, as a client reads it (remoting/protocol/route/TopicRouteData.java). */
import { type FastjsonValue, integerIn, listIn, mapIn, parseFastjson, textIn } from "../remoting/fastjson.js";
import { compareQueues, type MessageQueue } from "./message-queue.js";

export const MASTER_ID = 0;
const PERM_READ = 4;
const PERM_WRITE = 2;
/** No topic has more; a route that says so is not believed. */
const QUEUES_MAX = 65_536;

/** Queues of a topic on one broker. */
export interface QueueData {
  readonly brokerName: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  /** Bits: 4 to read, 2 to write. */
  readonly perm: number;
}

/** The brokers of one name: a master and its slaves. */
export interface BrokerData {
  readonly cluster: string;
  readonly brokerName: string;
  /** `host:port` by broker id; 0 is the master. */
  readonly addresses: ReadonlyMap<number, string>;
}

/** Where a topic is, as a name server tells it. */
export interface TopicRoute {
  readonly queues: readonly QueueData[];
  readonly brokers: readonly BrokerData[];
}

/** Undefined when the body is no route. */
export function readTopicRoute(body: Buffer): TopicRoute | undefined {
  const map = parseFastjson(body);
  const queueDatas = listIn(map, "queueDatas");
  const brokerDatas = listIn(map, "brokerDatas");
  if (queueDatas === undefined || brokerDatas === undefined) return undefined;
  return { queues: queueDatas.flatMap(readQueueData), brokers: brokerDatas.flatMap(readBrokerData) };
}

function readQueueData(value: FastjsonValue): QueueData[] {
  const brokerName = textIn(value, "brokerName");
  const readQueueNums = integerIn(value, "readQueueNums") ?? 0;
  const writeQueueNums = integerIn(value, "writeQueueNums") ?? 0;
  if (brokerName === undefined || readQueueNums > QUEUES_MAX || writeQueueNums > QUEUES_MAX) return [];
  return [{ brokerName, readQueueNums, writeQueueNums, perm: integerIn(value, "perm") ?? 0 }];
}

export function readBrokerData(value: FastjsonValue): BrokerData[] {
  const brokerName = textIn(value, "brokerName");
  if (brokerName === undefined) return [];
  const addresses = new Map<number, string>();
  for (const [id, address] of mapIn(value, "brokerAddrs") ?? []) {
    if (typeof address === "string" && Number.isInteger(Number(id))) addresses.set(Number(id), address);
  }
  return [{ cluster: textIn(value, "cluster") ?? "", brokerName, addresses }];
}

/** Queues that can be written, at brokers with a master, sorted. */
export function publishQueues(topic: string, route: TopicRoute): MessageQueue[] {
  const withMaster = new Set(
    route.brokers.filter(({ addresses }) => addresses.has(MASTER_ID)).map(({ brokerName }) => brokerName),
  );
  return route.queues
    .filter(({ perm, brokerName }) => (perm & PERM_WRITE) !== 0 && withMaster.has(brokerName))
    .flatMap(({ brokerName, writeQueueNums }) => queuesOf(topic, brokerName, writeQueueNums))
    .sort(compareQueues);
}

/** Queues that can be read, sorted. */
export function subscribeQueues(topic: string, route: TopicRoute): MessageQueue[] {
  return route.queues
    .filter(({ perm }) => (perm & PERM_READ) !== 0)
    .flatMap(({ brokerName, readQueueNums }) => queuesOf(topic, brokerName, readQueueNums))
    .sort(compareQueues);
}

function queuesOf(topic: string, brokerName: string, count: number): MessageQueue[] {
  return Array.from({ length: Math.max(0, count) }, (_, queueId) => ({ topic, brokerName, queueId }));
}

/** The same place and queues, whatever the order in which a server lists them. */
export function sameRoute(a: TopicRoute, b: TopicRoute): boolean {
  return routeText(a) === routeText(b);
}

function routeText({ queues, brokers }: TopicRoute): string {
  const queueTexts = queues.map((queue) => JSON.stringify(Object.values(queue))).sort();
  const brokerTexts = brokers
    .map(({ cluster, brokerName, addresses }) => JSON.stringify([cluster, brokerName, [...addresses].sort()]))
    .sort();
  return JSON.stringify([queueTexts, brokerTexts]);
}
