/**
 * Code 200050: messages of a topic, of any queue or a certain one, leased to whoever asks (broker/processor/
 * PopMessageProcessor.java). What there is goes out at once; where there is nothing the pop waits, if its client asked
 * for that.
 */
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import { attempted } from "../../../remoting/failed-request.js";
import type { Connection, Processor, Request } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { emptyGetResult, type GetResult, GetStatus, type QueueHandle } from "../../../store/types.js";
import { answerOf, SUCCESS } from "../../answer.js";
import { PERM_READ } from "../../protocol/topic-config.js";
import { MESSAGE_TYPE_ATTRIBUTE } from "../attributes.js";
import type { BrokerContext } from "../context.js";
import { type Topic, topicQueue } from "../topic-config.js";
import {
  extraInfoText,
  msgOffsetPiece,
  POP_ORDER_REVIVE_QUEUE,
  popRetryTopicV1,
  popRetryTopicV2,
  startOffsetPiece,
} from "./extra-info.js";
import { PASSED_MAX } from "./order-info.js";
import type { PopFilters } from "./pop-filter.js";
import type { PopPolling } from "./pop-polling.js";
import { asPopped } from "./pop-record.js";
import { type PopRequest, readPopRequest } from "./pop-request.js";
import type { PopState } from "./pop-state.js";

const REVIVE_TURNS = 0x40000000;
const NO_MESSAGE = "NO_MESSAGE_IN_QUEUE";

/** What one pop has collected, to be answered. */
interface Popped {
  readonly records: Buffer[];
  readonly startOffsets: string[];
  readonly msgOffsets: string[];
  readonly orderCounts: string[];
  totalBytes: number;
  /** Messages that it left in the queues that it looked at. */
  restCount: number;
  readonly popTime: number;
  readonly reviveQueueId: number;
}

export class PopMessage {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #state: PopState;
  readonly #filters: PopFilters;
  readonly #polling: PopPolling;
  readonly #limits = { maxCount: 0, maxBytes: 0, maxFilterMessageSize: 0 };
  readonly #result = emptyGetResult();
  #reviveTurn = 0;
  /** Of 0 to 99: whether retries come first, and the queue to begin with. Apache throws dice. */
  #turn = 0;

  constructor(context: BrokerContext, store: MessageStore, state: PopState, filters: PopFilters, polling: PopPolling) {
    this.#context = context;
    this.#store = store;
    this.#state = state;
    this.#filters = filters;
    this.#polling = polling;
  }

  readonly process: Processor = (request, connection) => {
    const pop = this.#read(request, connection);
    if (pop === undefined) return;
    const waitMs = this.#polling.waitMs(pop.bornTime, pop.pollTime);
    // Who does not wait is told of everything acknowledged before it came.
    if (waitMs <= 0) this.#store.catchUp();
    if (this.#serve(pop, connection)) return;
    if (waitMs <= 0) {
      this.#answerNothing(pop, connection, ResponseCode.POLLING_TIMEOUT);
      return;
    }
    const { clock, log } = this.#context;
    const key = { code: RequestCode.POP_MESSAGE, opaque: pop.opaque, serializeType: pop.serializeType };
    const isParked = this.#polling.park({
      topic: pop.topic.name,
      group: pop.group.name,
      queueId: pop.queueId,
      connection,
      deadlineMs: clock.monotonicMs() + waitMs,
      heapIndex: -1,
      attempt: (last) => attempted(connection, key, log, () => this.#again(pop, connection, last)),
    });
    if (!isParked) this.#answerNothing(pop, connection, ResponseCode.POLLING_FULL);
  };

  #read(request: Request, connection: Connection): PopRequest | undefined {
    let pop: PopRequest | undefined;
    const answer = answerOf(
      ({ header }) => {
        const read = readPopRequest(this.#context, this.#filters, header, connection);
        if ("code" in read) return read;
        pop = read;
        return SUCCESS;
      },
      request,
      connection,
      this.#context.log,
    );
    const { opaque, serializeType } = request.header;
    if (pop === undefined) connection.writer.response(opaque, serializeType, answer.code, answer.remark);
    return pop;
  }

  /** While it waited its topic or group may have gone, or been forbidden. */
  #again(pop: PopRequest, connection: Connection, last: boolean): boolean {
    const { config, topics, groups } = this.#context;
    const isThere = topics.get(pop.topic.name) === pop.topic && groups.get(pop.group.name) === pop.group;
    const isAllowed = pop.group.consumeEnable && (config.brokerPermission & pop.topic.perm & PERM_READ) !== 0;
    if (isThere && isAllowed && this.#serve(pop, connection)) return true;
    if (isThere && !last) return false;
    this.#answerNothing(pop, connection, ResponseCode.POLLING_TIMEOUT);
    return true;
  }

  /** Answers with what there is; false when there is nothing. */
  #serve(pop: PopRequest, connection: Connection): boolean {
    const { clock, config } = this.#context;
    this.#turn = (this.#turn + 37) % 100;
    this.#reviveTurn = (this.#reviveTurn + 1) % REVIVE_TURNS;
    const popped: Popped = {
      records: [],
      startOffsets: [],
      msgOffsets: [],
      orderCounts: [],
      totalBytes: 0,
      restCount: 0,
      popTime: clock.nowMs(),
      reviveQueueId: pop.isOrdered ? POP_ORDER_REVIVE_QUEUE : this.#reviveTurn % config.reviveQueueNum,
    };
    this.#collect(pop, popped);
    if (popped.records.length === 0) {
      // What it read was not wanted; behind it there is more.
      if (popped.restCount > 0 && pop.filter.wanted !== undefined) setImmediate(() => this.#wake(pop));
      return false;
    }
    this.#answer(pop, popped, connection);
    // All that this one left: somebody else may wait for it.
    if (popped.restCount > 0) this.#wakeNext(pop);
    return true;
  }

  #wakeNext(pop: PopRequest): void {
    queueMicrotask(() => this.#wake(pop));
  }

  #wake({ topic, group, queueId }: PopRequest): void {
    this.#polling.wake(topic.name, group.name, queueId);
  }

  /** Retries come first in some pops and last in the others, so that neither they nor the topic itself starve. */
  #collect(pop: PopRequest, popped: Popped): void {
    const { config } = this.#context;
    const { topic, group } = pop;
    const turn = this.#turn;
    const isPriority =
      !pop.isOrdered &&
      topic.attributes.get(MESSAGE_TYPE_ATTRIBUTE) === "PRIORITY" &&
      turn < priorityFactor(group.attributes);
    const share = isPriority ? config.popFromRetryProbabilityForPriority : config.popFromRetryProbability;
    const first = isPriority ? 0 : turn;
    const retriesFirst = turn < share;
    if (!pop.isOrdered && retriesFirst) this.#collectRetries(pop, popped, first);
    if (pop.queueId < 0) this.#collectTopic(pop, topic, popped, first);
    else this.#collectQueue(pop, topic, pop.queueId, popped);
    if (!pop.isOrdered && !retriesFirst && popped.records.length < pop.maxCount) {
      this.#collectRetries(pop, popped, first);
    }
  }

  /** Of both generations of retry topics one pop reads only one: its answer can not tell them apart. */
  #collectRetries(pop: PopRequest, popped: Popped, first: number): void {
    const { config, topics } = this.#context;
    const v1 = topics.get(popRetryTopicV1(pop.group.name, pop.topic.name));
    const v2 = topics.get(popRetryTopicV2(pop.group.name, pop.topic.name));
    const generations = config.enableRetryTopicV2
      ? [v2, config.retrieveMessageFromPopRetryTopicV1 ? v1 : undefined]
      : [v1, v2];
    if (first % 2 === 0) generations.reverse();
    for (const topic of generations) {
      const before = popped.msgOffsets.length;
      if (topic !== undefined) this.#collectTopic(pop, topic, popped, first);
      if (popped.msgOffsets.length > before) return;
    }
  }

  #collectTopic(pop: PopRequest, topic: Topic, popped: Popped, first: number): void {
    const count = topic.readQueueNums;
    const isDescending = this.#context.config.priorityOrderAsc;
    for (let i = 0; i < count; i++) {
      const index = (isDescending ? count - 1 - i : i) + first;
      this.#collectQueue(pop, topic, index % count, popped);
    }
  }

  #collectQueue(pop: PopRequest, topic: Topic, queueId: number, popped: Popped): void {
    const state = this.#state;
    const group = pop.group.name;
    const queue = topicQueue(this.#context.store, topic, queueId);
    if (popped.records.length >= pop.maxCount) {
      const maxOffset = this.#store.maxOffset(queue);
      if (!pop.isOrdered) popped.restCount += Math.max(0, maxOffset - state.peekOffset(group, topic.name, queue));
      return;
    }
    if (this.#isFull(group, topic.name, queueId)) return;
    const offset = state.popOffset(group, topic.name, queue, pop.initMode);
    if (pop.isOrdered && state.isBlocked(group, topic.name, queueId, pop.attemptId, pop.invisibleMs)) return;
    const passed = pop.isOrdered ? state.passedOffsets(group, topic.name, queueId, offset) : undefined;
    const wanted = pop.maxCount - popped.records.length;
    const begin = this.#get(pop, queue, offset, wanted + (passed?.size ?? 0), popped.totalBytes);
    if (begin === undefined) return;
    if (passed !== undefined && passed.size > 0) leaveOut(this.#result, passed, wanted);
    this.#take(pop, topic, queueId, begin, popped);
  }

  /** Too much that nobody has acknowledged: pops go on when some of it is. */
  #isFull(group: string, topic: string, queueId: number): boolean {
    const { enablePopMessageThreshold, popInflightMessageThreshold, popLeaseCountMax } = this.#context.config;
    if (this.#state.leases.size >= popLeaseCountMax) return true;
    if (!enablePopMessageThreshold) return false;
    return (this.#state.leases.find(group, topic, queueId)?.leases.size ?? 0) >= popInflightMessageThreshold;
  }

  /** Reads into `#result`; answers where it began, undefined when there is nothing to read. */
  #get(pop: PopRequest, queue: QueueHandle, offset: number, maxCount: number, bytes: number): number | undefined {
    const { maxTransferBytesOnMessageInMemory, maxFilterMessageSize } = this.#context.config;
    // One message at least goes out, however large; a further queue's only if there is room.
    if (bytes >= maxTransferBytesOnMessageInMemory) return undefined;
    this.#limits.maxCount = maxCount;
    this.#limits.maxBytes = maxTransferBytesOnMessageInMemory - bytes;
    this.#limits.maxFilterMessageSize = maxFilterMessageSize;
    const result = this.#result;
    let begin = offset;
    let status = this.#store.get(queue, begin, this.#limits, pop.filter.wanted, result);
    if (isMisplaced(status, begin, result)) {
      const fields = { group: pop.group.name, topic: queue.topic, queueId: queue.queueId, offset, status };
      this.#context.log.warn({ ...fields, nextBeginOffset: result.nextBeginOffset }, "a pop begins elsewhere");
      begin = result.nextBeginOffset;
      if (begin < offset) this.#state.move(pop.group.name, queue.topic, queue.queueId, begin);
      status = this.#store.get(queue, begin, this.#limits, pop.filter.wanted, result);
    }
    if (result.records.length > 0) return begin;
    return result.nextBeginOffset > begin ? begin : undefined;
  }

  #take(pop: PopRequest, topic: Topic, queueId: number, begin: number, popped: Popped): void {
    const { stats, config } = this.#context;
    const group = pop.group.name;
    const result = this.#result;
    const { nextBeginOffset, maxOffset } = result;
    const { records, queueOffsets } = result;
    const { popTime, reviveQueueId } = popped;
    if (!pop.isOrdered) {
      this.#state.lease(group, topic.name, queueId, queueOffsets, nextBeginOffset, popTime, pop.invisibleMs);
    } else if (records.length > 0) {
      const { attemptId, invisibleMs } = pop;
      const pieces = this.#state.leaseOrdered(
        group,
        topic.name,
        queueId,
        attemptId,
        queueOffsets,
        popTime,
        invisibleMs,
      );
      popped.orderCounts.push(...pieces);
    } else {
      this.#context.offsets.commitOffset("PopMessage", group, topic.name, queueId, nextBeginOffset);
    }
    popped.restCount += Math.max(0, maxOffset - nextBeginOffset);
    stats.recordGet(stats.groupGets(group, topic.name), records.length, result.totalBytes);
    if (records.length === 0) return;
    popped.startOffsets.push(startOffsetPiece(topic.name, queueId, begin));
    popped.msgOffsets.push(msgOffsetPiece(topic.name, queueId, queueOffsets));
    popped.totalBytes += result.totalBytes;
    const isRetry = topic !== pop.topic && !config.popResponseReturnActualRetryTopic;
    for (let i = 0; i < records.length; i++) {
      const extraInfo = (queueOffset: number) =>
        extraInfoText(
          begin,
          popTime,
          pop.invisibleMs,
          reviveQueueId,
          topic.name,
          config.brokerName,
          queueId,
          queueOffset,
        );
      const record = records[i]!;
      popped.records.push(isRetry ? asPopped(record, pop.topic.nameBytes, extraInfo(queueOffsets[i]!)) : record);
    }
    records.length = 0;
  }

  #answer(pop: PopRequest, popped: Popped, connection: Connection): void {
    const { writer } = connection;
    writer.beginResponse(pop.opaque, pop.serializeType, ResponseCode.SUCCESS, "FOUND");
    this.#writeFields(pop, popped, connection);
    writer.endHeader();
    for (const record of popped.records) writer.bodyBytes(record);
    writer.end();
  }

  #answerNothing(pop: PopRequest, connection: Connection, code: number): void {
    const { writer } = connection;
    const nothing = { startOffsets: [], msgOffsets: [], orderCounts: [], records: [], totalBytes: 0, restCount: 0 };
    const reviveQueueId = pop.isOrdered ? POP_ORDER_REVIVE_QUEUE : 0;
    writer.beginResponse(pop.opaque, pop.serializeType, code, NO_MESSAGE);
    this.#writeFields(pop, { ...nothing, popTime: this.#context.clock.nowMs(), reviveQueueId }, connection);
    writer.endHeader();
    writer.end();
  }

  #writeFields(pop: PopRequest, popped: Popped, { writer }: Connection): void {
    writer.integerField("invisibleTime", pop.invisibleMs);
    writer.field("msgOffsetInfo", popped.msgOffsets.join(";"));
    if (pop.isOrdered) writer.field("orderCountInfo", popped.orderCounts.join(";"));
    writer.integerField("popTime", popped.popTime);
    writer.integerField("restNum", popped.restCount);
    writer.integerField("reviveQid", popped.reviveQueueId);
    writer.field("startOffsetInfo", popped.startOffsets.join(";"));
  }
}

/** The group's offset is not one of the queue's. */
function isMisplaced(status: GetStatus, offset: number, { nextBeginOffset }: GetResult): boolean {
  if (status === GetStatus.OFFSET_TOO_SMALL || status === GetStatus.OFFSET_OVERFLOW_BADLY) return true;
  return status === GetStatus.NO_MESSAGE_IN_QUEUE && nextBeginOffset < offset;
}

/** Drops messages that are acknowledged, and what is more than `maxCount` then. */
function leaveOut(result: GetResult, passed: ReadonlySet<number>, maxCount: number): void {
  const { queueOffsets } = result;
  const furthest = passed.size < PASSED_MAX ? Number.POSITIVE_INFINITY : Math.max(...passed);
  const isWanted = queueOffsets.map((queueOffset) => !passed.has(queueOffset) && queueOffset < furthest);
  result.records = result.records.filter((_, index) => isWanted[index]).slice(0, maxCount);
  result.queueOffsets = queueOffsets.filter((_, index) => isWanted[index]).slice(0, maxCount);
  result.totalBytes = result.records.reduce((bytes, record) => bytes + record.length, 0);
  // What lies behind was left out unread: the group does not go on there.
  result.nextBeginOffset = Math.min(result.nextBeginOffset, furthest);
}

/** Of a hundred pops of a priority topic, how many begin with its first queue (SubscriptionGroupAttributes). */
function priorityFactor(attributes: ReadonlyMap<string, string>): number {
  const text = attributes.get("priority.factor");
  return text === undefined || !/^\d{1,3}$/.test(text) ? 100 : Number(text);
}
