/** Administration: topics, groups, offsets, lag, messages (tools/admin/DefaultMQAdminExt.java). */
import type { OptionNames } from "../base/option-names.js";
import { decodeRecord } from "../record/decode.js";
import { parseMessageId } from "../record/message-id.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { listIn, mapIn, parseFastjson } from "../remoting/fastjson.js";
import type { Fields, RemoteAnswer } from "../remoting/types.js";
import { shown } from "../base/given-values.js";
import { checkCall, checkList, checkNames, checkQueue, positive, timeMs, yesOrNo } from "./arguments.js";
import { ClientInstance } from "./client-instance.js";
import { configError, expectSuccessFrom, MessageError, NoRouteError, ResponseError } from "./errors.js";
import type { MessageQueue } from "./message-queue.js";
import { withoutNamespace } from "./namespace.js";
import {
  CLIENT_OPTIONS,
  CALL_OPTIONS,
  type CallOptions,
  type ClientOptions,
  checkGroup,
  checkStart,
  checkTopic,
  type StartOptions,
  settingsOf,
} from "./options.js";
import { committedOffset, commitOffset, maxOffset, minOffset, searchOffset } from "./queue-offsets.js";
import { type ReceivedMessage, receivedMessages, receivedOf } from "./received-message.js";
import { type BrokerData, readBrokerData, subscribeQueues, type TopicRoute } from "./topic-route.js";
import { abortable } from "./waiting.js";

/** What a topic is made with. */
export interface TopicOptions {
  /** Queues that consumers see (4). */
  readonly readQueueNums?: number;
  /** Queues that producers see (4). */
  readonly writeQueueNums?: number;
  /** 6: read and write, 4: read, 2: write. */
  readonly perm?: number;
  /** Named as ordered to clients of RocketMQ 4 (false). */
  readonly order?: boolean;
  /** `{ "message.type": "FIFO" }` */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** What a consumer group is made with, by Apache's names (common/subscription/SubscriptionGroupConfig). */
export interface GroupOptions {
  /** Attempts after the first, then a message is a dead letter (16). */
  readonly retryMaxTimes?: number;
  /** Queues of the retry topic (1). */
  readonly retryQueueNums?: number;
  readonly consumeEnable?: boolean;
  readonly consumeBroadcastEnable?: boolean;
  readonly consumeMessageOrderly?: boolean;
}

const TOPIC_OPTIONS: OptionNames<TopicOptions> = {
  readQueueNums: true,
  writeQueueNums: true,
  perm: true,
  order: true,
  attributes: true,
};
const GROUP_OPTIONS: OptionNames<GroupOptions> = {
  retryMaxTimes: true,
  retryQueueNums: true,
  consumeEnable: true,
  consumeBroadcastEnable: true,
  consumeMessageOrderly: true,
};

const MASTERS_OPTIONS: OptionNames<MastersOptions> = { ...CALL_OPTIONS, brokerNames: true };
const QUERY_OPTIONS: OptionNames<QueryOptions> = { ...CALL_OPTIONS, maxCount: true, begin: true, end: true };

/** How far a group is in one queue. Offsets count messages from 0. */
export interface QueueProgress {
  readonly queue: MessageQueue;
  readonly minOffset: number;
  /** That of the next message to come. */
  readonly maxOffset: number;
  /** Undefined where the group never committed. */
  readonly committedOffset: number | undefined;
  /** Messages that the group has not consumed; all of the queue's where it never committed. */
  readonly lag: number;
}

/** Administration of a cluster, CometMQ's or Apache's. Rejects with ResponseError, NoRouteError or CometError. */
export class Admin implements AsyncDisposable {
  readonly #instance: ClientInstance;

  /** Throws COMETMQ_CONFIG for options that cannot be. Servers are connected when they are needed. */
  static async start(options: ClientOptions, startOptions: StartOptions = {}): Promise<Admin> {
    checkStart("Admin.start", options, CLIENT_OPTIONS, startOptions);
    startOptions.signal?.throwIfAborted();
    return new Admin(options);
  }

  private constructor(options: ClientOptions) {
    this.#instance = new ClientInstance(settingsOf(options), {});
  }

  /** Brokers by name, with their cluster and addresses. */
  async brokers(options: CallOptions = {}): Promise<BrokerData[]> {
    checkCall("brokers", options, CALL_OPTIONS);
    const answer = await this.#instance.nameServers.call(RequestCode.GET_BROKER_CLUSTER_INFO, {}, options);
    const table = mapIn(parseFastjson(expectSuccessFrom("name server", answer).body), "brokerAddrTable");
    return [...(table?.values() ?? [])].flatMap(readBrokerData);
  }

  /** All of them; of a namespace its own, by the names that the application uses. */
  async topics(options: CallOptions = {}): Promise<string[]> {
    checkCall("topics", options, CALL_OPTIONS);
    const answer = await this.#instance.nameServers.call(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, {}, options);
    const list = listIn(parseFastjson(expectSuccessFrom("name server", answer).body), "topicList") ?? [];
    const topics = list.filter((topic) => typeof topic === "string").sort();
    const { namespace } = this.#instance;
    if (namespace === undefined) return topics;
    return topics.map((topic) => withoutNamespace(namespace, topic)).filter((topic, i) => topic !== topics[i]);
  }

  /** Undefined when there is no such topic. */
  async topicRoute(topic: string, options: CallOptions = {}): Promise<TopicRoute | undefined> {
    checkCall("topicRoute", options, CALL_OPTIONS);
    return this.#instance.nameServers.route(this.#topic(topic), options);
  }

  /** The queues of a topic that can be read. */
  async queues(topic: string, options: CallOptions = {}): Promise<MessageQueue[]> {
    checkCall("queues", options, CALL_OPTIONS);
    const whole = this.#topic(topic);
    options.signal?.throwIfAborted();
    const route = await abortable(this.#instance.routes.refresh(whole), options.signal);
    if (route === undefined) throw new NoRouteError(whole, "it does not exist");
    return subscribeQueues(whole, route);
  }

  /** Makes or changes a topic, at every master or at those of `brokerNames`. */
  async createTopic(topic: string, options: TopicOptions = {}, where: MastersOptions = {}): Promise<void> {
    checkCall("createTopic", where, MASTERS_OPTIONS);
    checkNames("createTopic", options, TOPIC_OPTIONS);
    const { attributes } = options;
    if (
      attributes !== undefined &&
      (typeof attributes !== "object" || attributes === null || Array.isArray(attributes))
    )
      throw configError(`attributes is ${shown(attributes)}, no object of texts.`);
    const fields = {
      topic: this.#topic(topic),
      defaultTopic: "TBW102",
      readQueueNums: positive("readQueueNums", options.readQueueNums, 4, 0),
      writeQueueNums: positive("writeQueueNums", options.writeQueueNums, 4, 0),
      perm: positive("perm", options.perm, 6, 0),
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: 0,
      order: yesOrNo("order", options.order, false),
      attributes:
        attributes &&
        Object.entries(attributes)
          .map(([name, value]) => `+${name}=${value}`)
          .join(),
    };
    await this.#atMasters(RequestCode.UPDATE_AND_CREATE_TOPIC, fields, undefined, where);
  }

  /** Removes a topic from every broker, and from the name servers. */
  async deleteTopic(name: string, options: CallOptions = {}): Promise<void> {
    checkCall("deleteTopic", options, CALL_OPTIONS);
    const topic = this.#topic(name);
    const { nameServers } = this.#instance;
    await this.#atMasters(RequestCode.DELETE_TOPIC_IN_BROKER, { topic }, undefined, options);
    for (const address of nameServers.addresses) {
      expectSuccessFrom(
        address,
        await nameServers.callAt(address, RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic }, options),
      );
    }
  }

  /** Makes or changes a group, at every master or at those of `brokerNames`. */
  async createGroup(group: string, options: GroupOptions = {}, where: MastersOptions = {}): Promise<void> {
    checkCall("createGroup", where, MASTERS_OPTIONS);
    checkNames("createGroup", options, GROUP_OPTIONS);
    const config = {
      groupName: this.#group(group),
      consumeEnable: yesOrNo("consumeEnable", options.consumeEnable, true),
      consumeBroadcastEnable: yesOrNo("consumeBroadcastEnable", options.consumeBroadcastEnable, true),
      consumeMessageOrderly: yesOrNo("consumeMessageOrderly", options.consumeMessageOrderly, false),
      retryMaxTimes: positive("retryMaxTimes", options.retryMaxTimes, 16, -1),
      retryQueueNums: positive("retryQueueNums", options.retryQueueNums, 1),
    };
    const body = Buffer.from(JSON.stringify(config));
    await this.#atMasters(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body, where);
  }

  /** Removes a group from every broker; what it has consumed is kept unless `removeOffsets`. */
  async deleteGroup(group: string, options: CallOptions & { readonly removeOffsets?: boolean } = {}): Promise<void> {
    checkCall("deleteGroup", options, { ...CALL_OPTIONS, removeOffsets: true });
    const fields = {
      groupName: this.#group(group),
      cleanOffset: yesOrNo("removeOffsets", options.removeOffsets, false),
    };
    await this.#atMasters(RequestCode.DELETE_SUBSCRIPTIONGROUP, fields, undefined, options);
  }

  /** Client ids of the group's consumers, of all brokers. */
  async consumers(group: string, options: CallOptions = {}): Promise<string[]> {
    checkCall("consumers", options, CALL_OPTIONS);
    const fields = { consumerGroup: this.#group(group) };
    const ids = new Set<string>();
    for (const broker of await this.brokers(options)) {
      for (const address of broker.addresses.values()) {
        const answer = await this.#call(address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, fields, options);
        for (const id of listIn(parseFastjson(answer.body), "consumerIdList") ?? [])
          if (typeof id === "string") ids.add(id);
      }
    }
    return [...ids].sort();
  }

  /** How far a group is in a topic, queue by queue. */
  async progress(group: string, topic: string, options: CallOptions = {}): Promise<QueueProgress[]> {
    checkCall("progress", options, CALL_OPTIONS);
    const consumerGroup = this.#group(group);
    const queues = await this.queues(topic, options);
    return Promise.all(
      queues.map(async (queue) => {
        const [min, max, committed] = await Promise.all([
          minOffset(this.#instance, queue, options),
          maxOffset(this.#instance, queue, options),
          committedOffset(this.#instance, consumerGroup, queue, options),
        ]);
        const lag = Math.max(0, max - Math.max(committed ?? min, min));
        return { queue, minOffset: min, maxOffset: max, committedOffset: committed, lag };
      }),
    );
  }

  /** Messages of a topic that a group has not consumed. */
  async lag(group: string, topic: string, options: CallOptions = {}): Promise<number> {
    return (await this.progress(group, topic, options)).reduce((sum, { lag }) => sum + lag, 0);
  }

  /** The offset of the oldest message there is. */
  async minOffset(queue: MessageQueue, options?: CallOptions): Promise<number> {
    return minOffset(this.#instance, await this.#known(queue, options), options);
  }

  /** The offset that the next message will have. */
  async maxOffset(queue: MessageQueue, options?: CallOptions): Promise<number> {
    return maxOffset(this.#instance, await this.#known(queue, options), options);
  }

  /** The offset of the first message stored at `time` or later. */
  async searchOffset(queue: MessageQueue, time: number | Date, options?: CallOptions): Promise<number> {
    return searchOffset(this.#instance, await this.#known(queue, options), timeMs("time", time), options);
  }

  /** Sets a group's offset in one queue. Consumers that run go on with their own: use `resetOffset` for those. */
  async commitOffset(group: string, queue: MessageQueue, offset: number, options?: CallOptions): Promise<void> {
    positive("offset", offset ?? Number.NaN, 0, 0);
    await commitOffset(this.#instance, this.#group(group), await this.#known(queue, options), offset, options);
  }

  /**
   * Sets a group's offsets in a topic to what was stored at `time`, and tells the consumers that run. Also where no
   * consumer runs.
   */
  async resetOffset(group: string, topic: string, time: number | Date, options: CallOptions = {}): Promise<void> {
    checkCall("resetOffset", options, CALL_OPTIONS);
    const timestamp = timeMs("time", time);
    const consumerGroup = this.#group(group);
    const progress = await this.progress(group, topic, options);
    for (const { queue, maxOffset: max } of progress) {
      const offset = timestamp < 0 ? max : await searchOffset(this.#instance, queue, timestamp, options);
      await commitOffset(this.#instance, consumerGroup, queue, offset, options);
    }
    const fields = { topic: this.#topic(topic), group: consumerGroup, timestamp, isForce: true };
    for (const brokerName of new Set(progress.map(({ queue }) => queue.brokerName))) {
      const address = this.#instance.masterOf(brokerName);
      const answer = await this.#call(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, fields, options);
      // Nobody is there who could be told: the offsets themselves are set.
      if (answer.code !== ResponseCode.CONSUMER_NOT_ONLINE) expectSuccessFrom(address, answer);
    }
  }

  /** By its offset message id, from the broker that the id names. Undefined when nothing is there. */
  async viewMessage(offsetMessageId: string, options: CallOptions = {}): Promise<ReceivedMessage | undefined> {
    checkCall("viewMessage", options, CALL_OPTIONS);
    const id = typeof offsetMessageId === "string" ? parseMessageId(offsetMessageId) : undefined;
    if (id === undefined) throw new MessageError(`${shown(offsetMessageId)} is no offset message id.`);
    const answer = await this.#call(id.storeHost, RequestCode.VIEW_MESSAGE_BY_ID, { offset: id.phyOffset }, options);
    if (answer.code === ResponseCode.SUCCESS) {
      return (await receivedOf(decodeRecord(answer.body), this.#instance.from("")))[0];
    }
    // Apache answers SYSTEM_ERROR where no message begins.
    if (answer.code === ResponseCode.SYSTEM_ERROR && /offset/.test(answer.remark)) return undefined;
    throw new ResponseError(id.storeHost, answer.code, answer.remark);
  }

  /** Messages with a key, of all brokers, at most `maxCount` from each (32). */
  queryByKey(topic: string, key: string, options: QueryOptions = {}): Promise<ReceivedMessage[]> {
    return this.#query(topic, key, false, options);
  }

  /** The message with a unique id; undefined when there is none. */
  async queryByUniqueId(topic: string, messageId: string, options: QueryOptions = {}) {
    return (await this.#query(topic, messageId, true, options)).at(0);
  }

  /** Ends every connection. */
  close(): Promise<void> {
    return this.#instance.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #topic(topic: string): string {
    return checkTopic(topic, this.#instance);
  }

  #group(group: string): string {
    return checkGroup(group, this.#instance);
  }

  #call(address: string, code: number, fields: Fields, options: CallOptions, body?: Uint8Array): Promise<RemoteAnswer> {
    return this.#instance.callAddress(address, code, fields, body, options);
  }

  /** The queue by its whole topic, whose brokers are known then. */
  async #known(queue: MessageQueue, options: CallOptions = {}): Promise<MessageQueue> {
    checkCall("Admin", options, CALL_OPTIONS);
    checkQueue("queue", queue);
    const topic = this.#topic(queue.topic);
    options.signal?.throwIfAborted();
    const route = await abortable(this.#instance.routes.get(topic), options.signal);
    if (route === undefined) throw new NoRouteError(topic, "it does not exist");
    return { ...queue, topic };
  }

  async #query(name: string, key: string, unique: boolean, options: QueryOptions): Promise<ReceivedMessage[]> {
    checkCall("A query", options, QUERY_OPTIONS);
    const { begin = 0, end = Number.MAX_SAFE_INTEGER } = options;
    const maxCount = positive("maxCount", options.maxCount, 32);
    if (typeof key !== "string" || key === "") throw configError(`The key of a query is ${shown(key)}, no text.`);
    const topic = this.#topic(name);
    const queues = await this.queues(topic, callOf(options));
    const fields = {
      topic,
      key,
      maxNum: maxCount,
      beginTimestamp: timeMs("begin", begin),
      endTimestamp: timeMs("end", end),
      _UNIQUE_KEY_QUERY: unique ? "true" : undefined,
    };
    const found: ReceivedMessage[] = [];
    for (const brokerName of new Set(queues.map((queue) => queue.brokerName))) {
      const address = this.#instance.masterOf(brokerName);
      const answer = await this.#call(address, RequestCode.QUERY_MESSAGE, fields, options);
      if (answer.code === ResponseCode.QUERY_NOT_FOUND) continue;
      const { body } = expectSuccessFrom(address, answer);
      found.push(...(await receivedMessages(body, this.#instance.from(brokerName))));
    }
    // The index knows hashes only.
    return found.filter((message) => (unique ? message.messageId === key : message.keys.includes(key)));
  }

  async #atMasters(code: number, fields: Fields, body: Uint8Array | undefined, where: MastersOptions): Promise<void> {
    const { brokerNames } = where;
    if (brokerNames !== undefined) checkList("brokerNames", brokerNames);
    const masters = (await this.brokers(callOf(where)))
      .filter(({ brokerName }) => brokerNames === undefined || brokerNames.includes(brokerName))
      .flatMap(({ addresses }) => addresses.get(0) ?? []);
    if (masters.length === 0) throw configError("No broker with a master is registered by these names.");
    const answers = await Promise.all(
      masters.map(async (address) => [address, await this.#call(address, code, fields, where, body)] as const),
    );
    for (const [address, answer] of answers) expectSuccessFrom(address, answer);
  }
}

function callOf({ signal, timeoutMs }: CallOptions): CallOptions {
  return { signal, timeoutMs };
}

/** Where something is made or changed. */
export interface MastersOptions extends CallOptions {
  /** All of them by default. */
  readonly brokerNames?: readonly string[];
}

/** Which messages a query is about. */
export interface QueryOptions extends CallOptions {
  /** From each broker (32). */
  readonly maxCount?: number;
  /** Stored between these times. */
  readonly begin?: number | Date;
  readonly end?: number | Date;
}
