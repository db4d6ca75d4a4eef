/** Administration: topics, groups, offsets, lag, messages (tools/admin/DefaultMQAdminExt.java). */
import { decodeRecord } from "../record/decode.js";
import { parseMessageId } from "../record/message-id.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { listIn, mapIn, parseFastjson } from "../remoting/fastjson.js";
import type { Fields, RemoteAnswer } from "../remoting/types.js";
import { ClientInstance } from "./client-instance.js";
import { configError, expectSuccessFrom, MessageError, NoRouteError, ResponseError } from "./errors.js";
import type { MessageQueue } from "./message-queue.js";
import { type ClientOptions, checkGroup, checkTopic, settingsOf } from "./options.js";
import { committedOffset, commitOffset, maxOffset, minOffset, searchOffset } from "./queue-offsets.js";
import { type ReceivedMessage, receivedMessages, receivedOf } from "./received-message.js";
import { type BrokerData, readBrokerData, subscribeQueues, type TopicRoute } from "./topic-route.js";

/** Of calls that ask several servers. */
export interface AdminCallOptions {
  readonly signal?: AbortSignal;
  /** For each answer; `requestTimeoutMs` of the client by default. */
  readonly timeoutMs?: number;
}

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
  static async start(options: ClientOptions): Promise<Admin> {
    return new Admin(options);
  }

  private constructor(options: ClientOptions) {
    this.#instance = new ClientInstance(settingsOf(options), {});
  }

  /** Brokers by name, with their cluster and addresses. */
  async brokers(): Promise<BrokerData[]> {
    const answer = await this.#instance.nameServers.call(RequestCode.GET_BROKER_CLUSTER_INFO, {});
    const table = mapIn(parseFastjson(expectSuccessFrom("name server", answer).body), "brokerAddrTable");
    return [...(table?.values() ?? [])].flatMap(readBrokerData);
  }

  /** Names of all topics, those of brokers and groups among them. */
  async topics(): Promise<string[]> {
    const answer = await this.#instance.nameServers.call(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, {});
    const list = listIn(parseFastjson(expectSuccessFrom("name server", answer).body), "topicList") ?? [];
    return list.filter((topic) => typeof topic === "string").sort();
  }

  /** Undefined when there is no such topic. */
  topicRoute(topic: string): Promise<TopicRoute | undefined> {
    return this.#instance.nameServers.route(checkTopic(topic));
  }

  /** The queues of a topic that can be read. */
  async queues(topic: string): Promise<MessageQueue[]> {
    const route = await this.#instance.routes.refresh(checkTopic(topic));
    if (route === undefined) throw new NoRouteError(topic, "it does not exist");
    return subscribeQueues(topic, route);
  }

  /** Makes or changes a topic, at every master or at those of `brokerNames`. */
  async createTopic(topic: string, options: TopicOptions = {}, brokerNames?: readonly string[]): Promise<void> {
    const { readQueueNums = 4, writeQueueNums = 4, perm = 6, order = false, attributes } = options;
    const fields = {
      topic: checkTopic(topic),
      defaultTopic: "TBW102",
      readQueueNums,
      writeQueueNums,
      perm,
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: 0,
      order,
      attributes:
        attributes &&
        Object.entries(attributes)
          .map(([name, value]) => `+${name}=${value}`)
          .join(),
    };
    await this.#atMasters(RequestCode.UPDATE_AND_CREATE_TOPIC, fields, undefined, brokerNames);
  }

  /** Removes a topic from every broker, and from the name servers. */
  async deleteTopic(topic: string): Promise<void> {
    await this.#atMasters(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: checkTopic(topic) });
    for (const address of this.#instance.nameServers.addresses) {
      const answer = await this.#instance.nameServers.callAt(address, RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic });
      expectSuccessFrom(address, answer);
    }
  }

  /** Makes or changes a group, at every master or at those of `brokerNames`. */
  async createGroup(group: string, options: GroupOptions = {}, brokerNames?: readonly string[]): Promise<void> {
    const config = {
      groupName: checkGroup(group),
      consumeEnable: true,
      consumeBroadcastEnable: true,
      consumeMessageOrderly: false,
      retryMaxTimes: 16,
      retryQueueNums: 1,
      ...options,
    };
    const body = Buffer.from(JSON.stringify(config));
    await this.#atMasters(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body, brokerNames);
  }

  /** Removes a group from every broker; what it has consumed is kept unless `removeOffsets`. */
  async deleteGroup(group: string, options: { readonly removeOffsets?: boolean } = {}): Promise<void> {
    const fields = { groupName: checkGroup(group), cleanOffset: options.removeOffsets ?? false };
    await this.#atMasters(RequestCode.DELETE_SUBSCRIPTIONGROUP, fields);
  }

  /** Client ids of the group's consumers, of all brokers. */
  async consumers(group: string): Promise<string[]> {
    const ids = new Set<string>();
    for (const broker of await this.brokers()) {
      for (const address of broker.addresses.values()) {
        const fields = { consumerGroup: checkGroup(group) };
        const answer = await this.#instance.callAddress(address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, fields);
        for (const id of listIn(parseFastjson(answer.body), "consumerIdList") ?? [])
          if (typeof id === "string") ids.add(id);
      }
    }
    return [...ids].sort();
  }

  /** How far a group is in a topic, queue by queue. */
  async progress(group: string, topic: string, options: AdminCallOptions = {}): Promise<QueueProgress[]> {
    const queues = await this.queues(topic);
    return Promise.all(
      queues.map(async (queue) => {
        const [min, max, committed] = await Promise.all([
          minOffset(this.#instance, queue, options),
          maxOffset(this.#instance, queue, options),
          committedOffset(this.#instance, checkGroup(group), queue, options),
        ]);
        const lag = Math.max(0, max - Math.max(committed ?? min, min));
        return { queue, minOffset: min, maxOffset: max, committedOffset: committed, lag };
      }),
    );
  }

  /** Messages of a topic that a group has not consumed. */
  async lag(group: string, topic: string, options: AdminCallOptions = {}): Promise<number> {
    return (await this.progress(group, topic, options)).reduce((sum, { lag }) => sum + lag, 0);
  }

  /** The offset of the oldest message there is. */
  async minOffset(queue: MessageQueue, options?: AdminCallOptions): Promise<number> {
    await this.#know(queue.topic);
    return minOffset(this.#instance, queue, options);
  }

  /** The offset that the next message will have. */
  async maxOffset(queue: MessageQueue, options?: AdminCallOptions): Promise<number> {
    await this.#know(queue.topic);
    return maxOffset(this.#instance, queue, options);
  }

  /** The offset of the first message stored at `time` or later. */
  async searchOffset(queue: MessageQueue, time: number | Date, options?: AdminCallOptions): Promise<number> {
    await this.#know(queue.topic);
    return searchOffset(this.#instance, queue, Number(time), options);
  }

  /** Sets a group's offset in one queue. Consumers that run go on with their own: use `resetOffset` for those. */
  async commitOffset(group: string, queue: MessageQueue, offset: number, options?: AdminCallOptions): Promise<void> {
    await this.#know(queue.topic);
    await commitOffset(this.#instance, checkGroup(group), queue, offset, options);
  }

  /**
   * Sets a group's offsets in a topic to what was stored at `time`, and tells the consumers that run. Also where no
   * consumer runs.
   */
  async resetOffset(group: string, topic: string, time: number | Date): Promise<void> {
    const timestamp = Number(time);
    if (!Number.isFinite(timestamp)) throw configError(`time is ${String(time)}.`);
    for (const { queue, maxOffset: max } of await this.progress(group, topic)) {
      const offset = timestamp < 0 ? max : await searchOffset(this.#instance, queue, timestamp);
      await commitOffset(this.#instance, group, queue, offset);
    }
    const fields = { topic, group, timestamp, isForce: true };
    for (const brokerName of new Set((await this.queues(topic)).map((queue) => queue.brokerName))) {
      const address = this.#instance.masterOf(brokerName);
      const answer = await this.#instance.callAddress(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, fields);
      // Nobody is there who could be told: the offsets themselves are set.
      if (answer.code !== ResponseCode.CONSUMER_NOT_ONLINE) expectSuccessFrom(address, answer);
    }
  }

  /** By its offset message id, from the broker that the id names. Undefined when nothing is there. */
  async viewMessage(offsetMessageId: string): Promise<ReceivedMessage | undefined> {
    const id = parseMessageId(offsetMessageId);
    if (id === undefined) throw new MessageError(`"${offsetMessageId}" is no offset message id.`);
    const fields = { offset: id.phyOffset };
    const answer = await this.#instance.callAddress(id.storeHost, RequestCode.VIEW_MESSAGE_BY_ID, fields);
    if (answer.code === ResponseCode.SUCCESS) return (await receivedOf(decodeRecord(answer.body), ""))[0];
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

  async #know(topic: string): Promise<void> {
    if ((await this.#instance.routes.get(topic)) === undefined) throw new NoRouteError(topic, "it does not exist");
  }

  async #query(topic: string, key: string, unique: boolean, options: QueryOptions): Promise<ReceivedMessage[]> {
    const { maxCount = 32, begin = 0, end = Number.MAX_SAFE_INTEGER, signal, timeoutMs } = options;
    const queues = await this.queues(topic);
    const fields = {
      topic,
      key,
      maxNum: maxCount,
      beginTimestamp: Number(begin),
      endTimestamp: Number(end),
      _UNIQUE_KEY_QUERY: unique ? "true" : undefined,
    };
    const found: ReceivedMessage[] = [];
    for (const brokerName of new Set(queues.map((queue) => queue.brokerName))) {
      const address = this.#instance.masterOf(brokerName);
      const call = { signal, ...(timeoutMs && { timeoutMs }) };
      const answer = await this.#instance.callAddress(address, RequestCode.QUERY_MESSAGE, fields, undefined, call);
      if (answer.code === ResponseCode.QUERY_NOT_FOUND) continue;
      found.push(...(await receivedMessages(expectSuccessFrom(address, answer).body, brokerName)));
    }
    // The index knows hashes only.
    return found.filter((message) => (unique ? message.messageId === key : message.keys.includes(key)));
  }

  async #atMasters(code: number, fields: Fields, body?: Uint8Array, brokerNames?: readonly string[]): Promise<void> {
    const masters = (await this.brokers())
      .filter(({ brokerName }) => brokerNames === undefined || brokerNames.includes(brokerName))
      .flatMap(({ addresses }) => addresses.get(0) ?? []);
    if (masters.length === 0) throw configError("No broker with a master is registered by these names.");
    const answers = await Promise.all(
      masters.map(
        async (address): Promise<[string, RemoteAnswer]> => [
          address,
          await this.#instance.callAddress(address, code, fields, body),
        ],
      ),
    );
    for (const [address, answer] of answers) expectSuccessFrom(address, answer);
  }
}

/** Which messages a query is about. */
export interface QueryOptions extends AdminCallOptions {
  /** From each broker (32). */
  readonly maxCount?: number;
  /** Stored between these times. */
  readonly begin?: number | Date;
  readonly end?: number | Date;
}
