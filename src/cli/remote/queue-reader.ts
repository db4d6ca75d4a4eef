/**
 * Messages of queues, by pulls as Apache's tools make them: of a group that need not exist, or of the user's own. Queues
 * are read together in the order of their store times, then, if asked, followed as they grow.
 */
import { setTimeout as wait } from "node:timers/promises";
import { CometError } from "../../base/errors.js";
import { decodeRecords, type MessageExt } from "../../record/decode.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Fields } from "../../remoting/types.js";
import { type Cluster, type QueueEntry, refusedBy } from "./cluster.js";

/** Every Apache broker has it: mqadmin reads with it. */
export const TOOLS_GROUP = "TOOLS_CONSUMER";

const SUBSCRIPTION_FLAG = 4;
const SUSPEND_FLAG = 2;
const SUSPEND_MS = 15_000;
/** Apache looks at the pulls it holds every five seconds: they end that much later (consumerTimeoutMillisWhenSuspend). */
const HELD_MARGIN_MS = 15_000;
const PULL_MAX = 32;
const AGAIN_MS = 1000;

export interface ReadOptions {
  readonly group: string;
  /** Tags as `a || b`, or `*`; with `isSql` an SQL92 expression. */
  readonly expression: string;
  readonly isSql: boolean;
}

export const ALL_MESSAGES: ReadOptions = { group: TOOLS_GROUP, expression: "*", isSql: false };

export interface ReadMessage {
  readonly queue: QueueEntry;
  readonly message: MessageExt;
}

/** Where to begin and, without it for as long as there is something, where to end. */
export interface QueueRange {
  readonly queue: QueueEntry;
  readonly from: number;
  readonly to: number;
}

async function offsetOf(cluster: Cluster, { address, topic, queueId }: QueueEntry, code: number, fields: Fields = {}) {
  const answer = await cluster.ask(address, code, { topic, queueId, ...fields });
  return Number(answer.fields["offset"]);
}

export function minOffset(cluster: Cluster, queue: QueueEntry): Promise<number> {
  return offsetOf(cluster, queue, RequestCode.GET_MIN_OFFSET);
}

export function maxOffset(cluster: Cluster, queue: QueueEntry): Promise<number> {
  return offsetOf(cluster, queue, RequestCode.GET_MAX_OFFSET);
}

/** Of the first message stored at that time or later. */
export function offsetAtTime(cluster: Cluster, queue: QueueEntry, timestamp: number): Promise<number> {
  return offsetOf(cluster, queue, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { timestamp, boundaryType: "LOWER" });
}

/** Undefined where the group has none yet. */
export async function committedOffset(cluster: Cluster, group: string, queue: QueueEntry): Promise<number | undefined> {
  const { address, topic, queueId } = queue;
  const fields = { consumerGroup: group, topic, queueId, setZeroIfNotFound: false };
  const answer = await cluster.call(address, RequestCode.QUERY_CONSUMER_OFFSET, fields);
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) return undefined;
  if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(address, answer);
  const offset = Number(answer.fields["offset"]);
  return offset >= 0 ? offset : undefined;
}

export async function commitOffset(cluster: Cluster, group: string, queue: QueueEntry, offset: number): Promise<void> {
  const { address, topic, queueId } = queue;
  const fields = { consumerGroup: group, topic, queueId, commitOffset: offset };
  await cluster.ask(address, RequestCode.UPDATE_CONSUMER_OFFSET, fields);
}

interface Pulled {
  readonly messages: MessageExt[];
  readonly nextOffset: number;
}

async function pull(
  cluster: Cluster,
  queue: QueueEntry,
  offset: number,
  { group, expression, isSql }: ReadOptions,
  suspendMs: number,
): Promise<Pulled> {
  const fields = {
    consumerGroup: group,
    topic: queue.topic,
    queueId: queue.queueId,
    queueOffset: offset,
    maxMsgNums: PULL_MAX,
    sysFlag: SUBSCRIPTION_FLAG | (suspendMs > 0 ? SUSPEND_FLAG : 0),
    commitOffset: 0,
    suspendTimeoutMillis: suspendMs,
    subscription: expression,
    expressionType: isSql ? "SQL92" : "TAG",
    subVersion: 0,
  };
  const timeoutMs = suspendMs === 0 ? cluster.timeoutMs : suspendMs + Math.max(HELD_MARGIN_MS, cluster.timeoutMs);
  const answer = await cluster.call(queue.address, RequestCode.PULL_MESSAGE, fields, undefined, timeoutMs);
  const { code } = answer;
  const nextOffset = Number(answer.fields["nextBeginOffset"] ?? offset);
  if (code === ResponseCode.SUCCESS) return { messages: decodeRecords(answer.body), nextOffset };
  const isNothing =
    code === ResponseCode.PULL_NOT_FOUND ||
    code === ResponseCode.PULL_RETRY_IMMEDIATELY ||
    code === ResponseCode.PULL_OFFSET_MOVED;
  if (isNothing) return { messages: [], nextOffset };
  throw refusedBy(queue.address, answer);
}

/** Rejects with COMETMQ_REMOTE where a broker does not take the expression: Apache's leaves pulls with it unanswered. */
export async function checkFilter(
  cluster: Cluster,
  queues: readonly QueueEntry[],
  options: ReadOptions,
): Promise<void> {
  if (!options.isSql) return;
  const { expression: subString, group } = options;
  for (const { topic, address } of new Map(queues.map((queue) => [queue.address, queue])).values()) {
    const subscriptionData = { topic, subString, expressionType: "SQL92" };
    const body = Buffer.from(JSON.stringify({ clientId: TOOLS_GROUP, group, subscriptionData }));
    await cluster.ask(address, RequestCode.CHECK_CLIENT_CONFIG, {}, body);
  }
}

/** One queue from `from` up to `to`. */
async function* readQueue(cluster: Cluster, { queue, from, to }: QueueRange, options: ReadOptions) {
  for (let offset = from; offset < to; ) {
    const { messages, nextOffset } = await pull(cluster, queue, offset, options, 0);
    for (const message of messages) if (message.queueOffset < to) yield { queue, message };
    // A queue may have lost its end, as after a crash of its broker: then there is nothing more.
    if (nextOffset <= offset) return;
    offset = nextOffset;
  }
}

/** Messages of the ranges, the ones stored earlier first. */
export async function* readRanges(
  cluster: Cluster,
  ranges: readonly QueueRange[],
  options: ReadOptions = ALL_MESSAGES,
): AsyncGenerator<ReadMessage> {
  const heads: { source: AsyncGenerator<ReadMessage>; head: ReadMessage }[] = [];
  for (const range of ranges) {
    const source = readQueue(cluster, range, options);
    const first = await source.next();
    if (!first.done) heads.push({ source, head: first.value });
  }
  while (heads.length > 0) {
    let earliest = heads[0]!;
    for (const other of heads) {
      if (other.head.message.storeTimestamp < earliest.head.message.storeTimestamp) earliest = other;
    }
    yield earliest.head;
    const next = await earliest.source.next();
    if (next.done) heads.splice(heads.indexOf(earliest), 1);
    else earliest.head = next.value;
  }
}

/**
 * Whatever comes, from the given offsets on, until the signal is aborted. A broker that goes is waited for; `onTrouble`
 * hears of it once each time.
 */
export async function followQueues(
  cluster: Cluster,
  starts: readonly { queue: QueueEntry; from: number }[],
  options: ReadOptions,
  signal: AbortSignal,
  take: (messages: readonly ReadMessage[]) => Promise<void>,
  onTrouble: (error: CometError) => void,
): Promise<void> {
  const follow = async ({ queue, from }: { queue: QueueEntry; from: number }): Promise<void> => {
    let isTroubled = false;
    for (let offset = from; !signal.aborted; ) {
      try {
        const { messages, nextOffset } = await pull(cluster, queue, offset, options, SUSPEND_MS);
        isTroubled = false;
        if (messages.length > 0) await take(messages.map((message) => ({ queue, message })));
        offset = nextOffset;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof CometError) || !isPassing(error)) throw error;
        if (!isTroubled) onTrouble(error);
        isTroubled = true;
        await wait(AGAIN_MS, undefined, { signal }).catch(() => {});
      }
    }
  };
  await Promise.all(starts.map(follow));
}

/** The connection is gone or was never there; COMETMQ_REMOTE is a refusal. */
function isPassing({ code }: CometError): boolean {
  return code === "COMETMQ_CONNECT" || code === "COMETMQ_TIMEOUT";
}
