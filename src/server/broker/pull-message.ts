/**
 * Codes 11 and 361: messages of one queue for one group (broker/processor/PullMessageProcessor.java,
 * DefaultPullMessageResultHandler.java). What there is goes out at once, copied from the log into the response; where
 * there is nothing the pull waits, if its client asked for that, until dispatch reports a message.
 */
import { CometError } from "../../base/errors.js";
import { javaHash } from "../../base/java-hash.js";
import type { MessageFilter } from "../../filter/message-filter.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { answerFailed } from "../../remoting/failed-request.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { Connection, Processor, Request, SerializeType } from "../../remoting/types.js";
import type { MessageStore } from "../../store/message-store.js";
import { emptyGetResult, type GetResult, GetStatus, type QueueHandle, type TagFilter } from "../../store/types.js";
import { PERM_READ } from "../protocol/topic-config.js";
import type { BrokerContext } from "./context.js";
import { isTagType, type SubscriptionData } from "./heartbeat-data.js";
import { LongPolling, type ParkedPull } from "./long-polling.js";
import { wrongField } from "./put-remark.js";
import type { SubscriptionGroup } from "./subscription-group-config.js";
import { type Topic, topicQueue } from "./topic-config.js";

const COMMIT_OFFSET_FLAG = 0x1;
const SUSPEND_FLAG = 0x2;
const SUBSCRIPTION_FLAG = 0x4;
const SUSPEND_MS_MAX = 5 * 60_000;
const MASTER_ID = 0;
const FILTERS_KEPT = 1024;
const FILTER_CHARS_KEPT = 4096;
const NOTE_AGAIN_MS = 10_000;
/** One look into a queue in so many is timed. */
const TIMED_GETS = 64;
const INT_MAX = 2147483647;
/** As near as a number comes to it; `HeaderView.integer` has judged the digits. */
const LONG_MAX = 2 ** 63;

/** By GetStatus: the response code, and the remark, which is the status as Apache calls it. */
const CODES: Record<GetStatus, number> = {
  [GetStatus.FOUND]: ResponseCode.SUCCESS,
  [GetStatus.NO_MATCHED_MESSAGE]: ResponseCode.PULL_RETRY_IMMEDIATELY,
  [GetStatus.MESSAGE_WAS_REMOVING]: ResponseCode.PULL_RETRY_IMMEDIATELY,
  [GetStatus.OFFSET_FOUND_NULL]: ResponseCode.PULL_NOT_FOUND,
  [GetStatus.OFFSET_OVERFLOW_BADLY]: ResponseCode.PULL_OFFSET_MOVED,
  [GetStatus.OFFSET_OVERFLOW_ONE]: ResponseCode.PULL_NOT_FOUND,
  [GetStatus.OFFSET_TOO_SMALL]: ResponseCode.PULL_OFFSET_MOVED,
  [GetStatus.NO_MATCHED_LOGIC_QUEUE]: ResponseCode.PULL_OFFSET_MOVED,
  [GetStatus.NO_MESSAGE_IN_QUEUE]: ResponseCode.PULL_OFFSET_MOVED,
};
const REMARKS: Record<number, string> = Object.fromEntries(
  Object.entries(GetStatus).map(([name, value]) => [value, name]),
);

type Filter = TagFilter | MessageFilter;

/** One pull, as far as answering it needs. Filled anew for each request, copied when it has to wait. */
interface Pull {
  opaque: number;
  serializeType: SerializeType;
  group: SubscriptionGroup;
  topic: Topic;
  queue: QueueHandle;
  offset: number;
  maxCount: number;
  maxBytes: number;
  filter: Filter;
  /** Of the subscription that heartbeats told and the client pulls for; undefined where the pull itself said what it wants. */
  toldVersion: number | undefined;
  suspendMs: number;
}

export class PullMessage {
  readonly longPolling: LongPolling;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #filters = new Map<string, TagFilter>();
  /** By topic and group: when the subscription is noted again. */
  readonly #notedUntil = new Map<string, number>();
  readonly #limits = { maxCount: 0, maxBytes: 0, maxFilterMessageSize: 0 };
  readonly #result = emptyGetResult();
  #code = 0;
  #remark = "";
  #getTurn = 0;

  constructor(context: BrokerContext, store: MessageStore, parkedMax?: number) {
    this.#context = context;
    this.#store = store;
    this.longPolling = new LongPolling(context.clock, store, parkedMax);
    store.onArrival((queue) => this.longPolling.arrived(queue));
  }

  register(processors: Map<number, Processor>): void {
    processors.set(RequestCode.PULL_MESSAGE, (request, connection) => this.#process(request, connection));
    processors.set(RequestCode.LITE_PULL_MESSAGE, (request, connection) => {
      if (this.#context.config.litePullMessageEnable) return this.#process(request, connection);
      this.#refuse(
        ResponseCode.NO_PERMISSION,
        `the broker[${connection.localHost}] for lite pull consumer is forbidden`,
      );
      return this.#answerRefusal(request.header, connection);
    });
  }

  #process({ header }: Request, connection: Connection): void {
    const pull = this.#read(header, connection);
    if (pull === undefined) {
      this.#answerRefusal(header, connection);
      return;
    }
    if (this.#answerReset(pull, connection) || this.#serve(pull, connection, pull.suspendMs === 0)) return;
    const { clock, log } = this.#context;
    const { code } = header;
    const attempt = (parked: ParkedPull, last: boolean): boolean => {
      pull.offset = parked.offset;
      try {
        if (this.#answerChanged(pull, connection)) return true;
        const answered = this.#serve(pull, connection, last);
        parked.offset = pull.offset;
        return answered;
      } catch (error) {
        answerFailed(connection, { code, opaque: pull.opaque, serializeType: pull.serializeType }, error, log);
        return true;
      }
    };
    const deadlineMs = clock.monotonicMs() + pull.suspendMs;
    if (this.longPolling.park({ connection, queue: pull.queue, offset: pull.offset, deadlineMs, attempt })) return;
    this.#refuse(ResponseCode.SYSTEM_BUSY, `${this.longPolling.count} pulls wait for messages already.`);
    this.#answerRefusal(pull, connection);
  }

  /**
   * A pull that has waited may be forbidden by now, or its group be sent elsewhere; and what its group subscribes to may
   * have changed, so that what it passed over until then is wanted from now on.
   */
  #answerChanged(pull: Pull, connection: Connection): boolean {
    const { group, topic, toldVersion } = pull;
    const isServed = this.#mayRead(connection) && this.#mayConsume(group) && this.#mayBeRead(topic);
    const filter = !isServed || toldVersion === undefined ? pull.filter : this.#toldFilter(group, topic, toldVersion);
    if (isServed && filter !== NO_FILTER) {
      pull.filter = filter;
      return this.#answerReset(pull, connection);
    }
    this.#answerRefusal(pull, connection);
    return true;
  }

  #refuse(code: number, remark: string): undefined {
    this.#code = code;
    this.#remark = remark;
    return undefined;
  }

  #answerRefusal({ opaque, serializeType }: Pick<Pull, "opaque" | "serializeType">, { writer }: Connection): void {
    writer.response(opaque, serializeType, this.#code, this.#remark);
  }

  #mayRead({ localHost }: Connection): boolean {
    if ((this.#context.config.brokerPermission & PERM_READ) !== 0) return true;
    this.#refuse(ResponseCode.NO_PERMISSION, `the broker[${localHost}] pulling message is forbidden`);
    return false;
  }

  #mayConsume({ consumeEnable, name }: SubscriptionGroup): boolean {
    if (consumeEnable) return true;
    this.#refuse(ResponseCode.NO_PERMISSION, `subscription group no permission, ${name}`);
    return false;
  }

  #mayBeRead({ perm, name }: Topic): boolean {
    if ((perm & PERM_READ) !== 0) return true;
    this.#refuse(ResponseCode.NO_PERMISSION, `the topic[${name}] pulling message is forbidden`);
    return false;
  }

  #read(header: HeaderView, connection: Connection): Pull | undefined {
    const { config } = this.#context;
    this.#code = ResponseCode.SUCCESS;
    if (!this.#mayRead(connection)) return undefined;
    const queueId = this.#integer(header, "queueId", INT_MAX);
    const offset = this.#integer(header, "queueOffset", LONG_MAX);
    const maxMsgNums = this.#integer(header, "maxMsgNums", INT_MAX);
    const maxMsgBytes = this.#integer(header, "maxMsgBytes", INT_MAX, 0);
    const sysFlag = this.#integer(header, "sysFlag", INT_MAX);
    const commitOffset = this.#integer(header, "commitOffset", LONG_MAX, -1);
    const suspendMs = this.#integer(header, "suspendTimeoutMillis", LONG_MAX, 0);
    const subVersion = this.#integer(header, "subVersion", LONG_MAX, 0);
    if (this.#code !== ResponseCode.SUCCESS) return undefined;
    const group = this.#group(header);
    const topic = group === undefined ? undefined : this.#topic(header);
    if (group === undefined || topic === undefined) return undefined;
    if (queueId < 0 || queueId >= topic.readQueueNums) {
      const remark = `queueId[${queueId}] is illegal, topic:[${topic.name}] topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[${connection.remoteAddress}]`;
      return this.#refuse(ResponseCode.INVALID_PARAMETER, remark);
    }
    const isTold = (sysFlag & SUBSCRIPTION_FLAG) === 0;
    const filter = isTold ? this.#toldFilter(group, topic, subVersion) : this.#pulledFilter(header, group, topic);
    if (filter === NO_FILTER) return undefined;
    const queue = topicQueue(this.#context.store, topic, queueId);
    if ((sysFlag & COMMIT_OFFSET_FLAG) !== 0) this.#commit(commitOffset, connection, group, topic, queueId);
    const maxBytes = Math.min(maxMsgBytes || INT_MAX, config.maxTransferBytesOnMessageInMemory);
    return {
      opaque: header.opaque,
      serializeType: header.serializeType,
      group,
      topic,
      queue,
      offset,
      maxCount: Math.max(1, Math.min(maxMsgNums, config.maxTransferCountOnMessageInMemory)),
      maxBytes: Math.max(100, maxBytes),
      filter,
      toldVersion: isTold ? subVersion : undefined,
      suspendMs: (sysFlag & SUSPEND_FLAG) === 0 || header.isOneway ? 0 : this.#suspendMs(suspendMs),
    };
  }

  #suspendMs(asked: number): number {
    const { longPollingEnable, shortPollingTimeMills } = this.#context.config;
    if (!longPollingEnable) return shortPollingTimeMills;
    return Math.max(0, Math.min(asked, SUSPEND_MS_MAX));
  }

  /** A field of the range of Java's int or long, as `max` says; 0 after `#refuse`. One that must be there has no `absent`. */
  #integer(header: HeaderView, name: string, max: number, absent = Number.NaN): number {
    const value = header.integer(name) ?? absent;
    if (value >= -max - 1 && value <= max) return value;
    const expected = max === INT_MAX ? "an integer of 32 bits" : "an integer of 64 bits";
    this.#refuse(ResponseCode.SYSTEM_ERROR, wrongField(name, header.text(name), expected));
    return 0;
  }

  #group(header: HeaderView): SubscriptionGroup | undefined {
    const name = header.text("consumerGroup");
    if (name === undefined) return this.#refuse(ResponseCode.SYSTEM_ERROR, "the custom field <consumerGroup> is null");
    const group = this.#context.groups.find(name);
    if (group === undefined) {
      const remark = `subscription group [${name.slice(0, 255)}] does not exist: create it, or let the broker create groups by itself.`;
      return this.#refuse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark);
    }
    return this.#mayConsume(group) ? group : undefined;
  }

  #topic(header: HeaderView): Topic | undefined {
    const index = header.find("topic");
    if (index < 0) return this.#refuse(ResponseCode.SYSTEM_ERROR, "the custom field <topic> is null");
    const name = header.valueText(index);
    const topic = this.#context.topics.get(name);
    if (topic === undefined) {
      return this.#refuse(ResponseCode.TOPIC_NOT_EXIST, `topic[${name.slice(0, 255)}] not exist, apply first please!`);
    }
    return this.#mayBeRead(topic) ? topic : undefined;
  }

  /** What the pull says that it wants of the queue; NO_FILTER after `#refuse`. */
  #pulledFilter(header: HeaderView, group: SubscriptionGroup, topic: Topic): Filter | typeof NO_FILTER {
    const expressionType = header.text("expressionType");
    const subscription = header.text("subscription") ?? "";
    if (!isTagType(expressionType)) return this.#pulledExpression(header, group, topic, expressionType!, subscription);
    const filter = this.#tagFilter(subscription);
    this.#noteSubscription(header, group, topic, subscription, filter);
    return filter;
  }

  /** What heartbeats say that the group wants, in that version or a later one; NO_FILTER after `#refuse`. */
  #toldFilter(group: SubscriptionGroup, topic: Topic, version: number): Filter | typeof NO_FILTER {
    const members = this.#context.consumers.get(group.name);
    if (members === undefined) {
      this.#refuse(
        ResponseCode.SUBSCRIPTION_NOT_EXIST,
        "the consumer's group info not exist: it has sent no heartbeat yet",
      );
      return NO_FILTER;
    }
    if (!group.consumeBroadcastEnable && members.isBroadcasting) {
      this.#refuse(ResponseCode.NO_PERMISSION, `the consumer group[${group.name}] can not consume by broadcast way`);
      return NO_FILTER;
    }
    if (this.#context.groups.isReadForbidden(group.name, topic.name)) {
      const remark = `the consumer group[${group.name}] is forbidden for topic[${topic.name}]`;
      this.#refuse(ResponseCode.NO_PERMISSION, remark);
      return NO_FILTER;
    }
    const subscription = members.subscriptions.get(topic.name);
    if (subscription === undefined) {
      const remark = "the consumer's subscription not exist: members of one group must subscribe to the same topics";
      this.#refuse(ResponseCode.SUBSCRIPTION_NOT_EXIST, remark);
      return NO_FILTER;
    }
    if (subscription.subVersion < version) {
      this.#refuse(ResponseCode.SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest");
      return NO_FILTER;
    }
    if (!isTagType(subscription.expressionType)) return this.#toldExpression(group, subscription, version);
    return subscription.tagFilter;
  }

  /** The pull itself says what it wants. */
  #pulledExpression(
    header: HeaderView,
    group: SubscriptionGroup,
    topic: Topic,
    expressionType: string,
    expression: string,
  ): MessageFilter | typeof NO_FILTER {
    const filter = this.#compiled(() => this.#context.filters.get(expressionType, expression));
    if (typeof filter === "string") {
      const remark = `parse the consumer's subscription failed: ${filter}`;
      this.#refuse(ResponseCode.SUBSCRIPTION_PARSE_FAILED, remark);
      return NO_FILTER;
    }
    if (!this.#context.config.enablePropertyFilter) return this.#noExpressions(expressionType);
    this.#noteSubscription(header, group, topic, expression, undefined, expressionType);
    return filter;
  }

  /** What heartbeats said counts. */
  #toldExpression(
    group: SubscriptionGroup,
    subscription: SubscriptionData,
    version: number,
  ): Filter | typeof NO_FILTER {
    const { config, consumerFilters } = this.#context;
    const { topic, expressionType, classFilterMode } = subscription;
    const data = consumerFilters.get(topic, group.name);
    const filter = data === undefined ? "it is too long" : this.#compiled(() => consumerFilters.filterOf(data));
    if (data === undefined || typeof filter === "string") {
      const remark = `The broker's consumer filter data is not exist!Your expression may be wrong! ${filter}`;
      this.#refuse(ResponseCode.FILTER_DATA_NOT_EXIST, remark);
      return NO_FILTER;
    }
    if (data.clientVersion < version) {
      this.#refuse(ResponseCode.FILTER_DATA_NOT_LATEST, "the consumer's consumer filter data not latest");
      return NO_FILTER;
    }
    if (!config.enablePropertyFilter) return this.#noExpressions(expressionType);
    return classFilterMode ? undefined : filter;
  }

  /** The filter, or why there is none. */
  #compiled(compile: () => MessageFilter): MessageFilter | string {
    try {
      return compile();
    } catch (error) {
      if (error instanceof CometError) return error.message;
      throw error;
    }
  }

  /** A consumer that sends no heartbeat is known by what it pulls; each pair is told again now and then. */
  #noteSubscription(
    header: HeaderView,
    group: SubscriptionGroup,
    topic: Topic,
    subString: string,
    tagFilter: TagFilter,
    expressionType = "TAG",
  ): void {
    const now = this.#context.clock.monotonicMs();
    const key = `${topic.name} ${group.name}`;
    if (now < (this.#notedUntil.get(key) ?? 0)) return;
    if (this.#notedUntil.size >= FILTERS_KEPT) this.#notedUntil.clear();
    this.#notedUntil.set(key, now + NOTE_AGAIN_MS);
    const codeSet = tagFilter ?? new Set<number>();
    this.#context.consumers.noteSubscription(group.name, {
      topic: topic.name,
      subString,
      expressionType,
      classFilterMode: false,
      tagsSet: tagFilter === undefined ? [] : subString.split("||").map((tag) => tag.trim()),
      codeSet,
      subVersion: header.integer("subVersion") ?? 0,
      tagFilter,
    });
  }

  #noExpressions(expressionType: string): typeof NO_FILTER {
    const remark = `The broker does not support consumer to filter message by ${expressionType.slice(0, 64)}`;
    this.#refuse(ResponseCode.SYSTEM_ERROR, remark);
    return NO_FILTER;
  }

  /** Of a subscription like `TagA || TagB` (common/filter/FilterAPI.java#buildSubscriptionData). */
  #tagFilter(subscription: string): TagFilter {
    if (subscription === "" || subscription === "*") return undefined;
    const known = this.#filters.get(subscription);
    if (known !== undefined) return known;
    const tags = subscription.split("||").map((tag) => tag.trim());
    const filter = new Set(tags.filter((tag) => tag !== "").map(javaHash));
    if (subscription.length > FILTER_CHARS_KEPT) return filter;
    if (this.#filters.size >= FILTERS_KEPT) this.#filters.clear();
    this.#filters.set(subscription, filter);
    return filter;
  }

  #commit(offset: number, connection: Connection, group: SubscriptionGroup, topic: Topic, queueId: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0) return;
    this.#context.offsets.commitOffset(connection.remoteAddress, group.name, topic.name, queueId, offset);
  }

  /** An administrator has set the group's offset, or deleted the topic that it read before: the reader is sent there. */
  #answerReset(pull: Pull, connection: Connection): boolean {
    const { config, offsets } = this.#context;
    const { queueId } = pull.queue;
    const restart = offsets.queryThenEraseRestart(pull.group.name, pull.topic.name, queueId) && pull.offset > 0;
    const reset = config.useServerSideResetOffset
      ? offsets.queryThenEraseResetOffset(pull.topic.name, pull.group.name, queueId)
      : undefined;
    const offset = reset ?? (restart ? 0 : undefined);
    if (offset === undefined) return false;
    const result = this.#result;
    result.records.length = 0;
    result.nextBeginOffset = offset;
    result.minOffset = this.#store.minOffset(pull.queue);
    result.maxOffset = this.#store.maxOffset(pull.queue);
    this.#answer(pull, connection, ResponseCode.PULL_OFFSET_MOVED, "OFFSET_RESET");
    return true;
  }

  /** Answers with what there is; false when there is nothing and the pull may wait. */
  #serve(pull: Pull, connection: Connection, last: boolean): boolean {
    const result = this.#result;
    this.#limits.maxCount = pull.maxCount;
    this.#limits.maxBytes = pull.maxBytes;
    this.#limits.maxFilterMessageSize = this.#context.config.maxFilterMessageSize;
    // A pull that does not wait is told of everything acknowledged before it came.
    if (pull.suspendMs === 0 && pull.offset >= this.#store.maxOffset(pull.queue)) this.#store.catchUp(pull.queue);
    const { clock, stats, offsets } = this.#context;
    this.#getTurn = (this.#getTurn + 1) % TIMED_GETS;
    const timed = this.#getTurn === 0;
    const beginMs = timed ? clock.monotonicMs() : 0;
    const status = this.#store.get(pull.queue, pull.offset, this.#limits, pull.filter, result);
    if (timed) stats.recordGetTime(clock.monotonicMs() - beginMs);
    let code = CODES[status];
    if (status === GetStatus.NO_MESSAGE_IN_QUEUE && pull.offset === 0) code = ResponseCode.PULL_NOT_FOUND;
    if (!last && this.#mayWait(pull, code, result)) return false;
    offsets.commitPullOffset(pull.group.name, pull.topic.name, pull.queue.queueId, result.nextBeginOffset);
    stats.recordGet(stats.groupGets(pull.group.name, pull.topic.name), result.records.length, result.totalBytes);
    this.#answer(pull, connection, code, REMARKS[status]!);
    result.records.length = 0;
    return true;
  }

  /** Nothing there yet, or nothing but messages that the filter passes over: then it waits behind them. */
  #mayWait(pull: Pull, code: number, result: GetResult): boolean {
    if (pull.suspendMs === 0) return false;
    if (code === ResponseCode.PULL_NOT_FOUND) return true;
    if (result.status !== GetStatus.NO_MATCHED_MESSAGE || result.nextBeginOffset < result.maxOffset) return false;
    // The client hears of the new offset with its next answer; asked at once it would come straight back.
    pull.offset = result.nextBeginOffset;
    return true;
  }

  #answer(pull: Pull, connection: Connection, code: number, remark: string): void {
    const { writer } = connection;
    const { records, nextBeginOffset, minOffset, maxOffset } = this.#result;
    writer.beginResponse(pull.opaque, pull.serializeType, code, remark);
    writer.integerField("groupSysFlag", pull.group.groupSysFlag);
    writer.integerField("maxOffset", maxOffset);
    writer.integerField("minOffset", minOffset);
    writer.integerField("nextBeginOffset", nextBeginOffset);
    writer.integerField("suggestWhichBrokerId", MASTER_ID);
    writer.integerField("topicSysFlag", pull.topic.topicSysFlag);
    writer.endHeader();
    for (let i = 0; i < records.length; i++) writer.bodyBytes(records[i]!);
    writer.end();
  }
}

const NO_FILTER = Symbol("no filter");
