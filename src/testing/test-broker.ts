/**
 * A broker for tests: everything that `cometmq start` has, on memory and free ports, with a clock that the test owns. Each
 * is for itself, so as many as a test wants run side by side, and nothing is left when one is closed.
 */
import { CometError } from "../base/errors.js";
import { checkClockAndLog, shown } from "../base/given-values.js";
import type { Logger } from "../base/log.js";
import { checkOptionNames, type OptionNames } from "../base/option-names.js";
import { MemoryDisk } from "../io/memory-disk.js";
import { decodeRecords, type MessageExt } from "../record/decode.js";
import { formatProperties } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import { expectSuccess } from "../remoting/client.js";
import { RequestCode } from "../remoting/codes.js";
import { LocalConnection, LocalPeering } from "../remoting/local-connection.js";
import { MESSAGE_TYPE_ATTRIBUTE } from "../server/broker/attributes.js";
import type { BrokerConfig } from "../server/broker/broker-options.js";
import { problemOf } from "../server/broker/create-topic.js";
import type { BrokerHooks } from "../server/broker/hooks.js";
import { topicQueue } from "../server/broker/topic-config.js";
import { PERM_READ, PERM_WRITE } from "../server/protocol/topic-config.js";
// Loaded now, so that no test's first start waits for it.
import "../server/proxy/endpoint.js";
import { Standalone } from "../server/standalone.js";
import { emptyGetResult } from "../store/types.js";
import { TestClock } from "./test-clock.js";

/** In memory: a name, not a place. */
const DIRECTORY = "/cometmq-test";
const MIB = 1024 * 1024;
const READ_MAX = 1024;
const SEND_MS = 10_000;

/** Small files, no idle limits (time jumps), nothing expires; everything else is as users have it. */
const CONFIG: Partial<BrokerConfig> = {
  brokerName: "broker-test",
  mappedFileSizeCommitLog: 16 * MIB,
  mappedFileSizeConsumeQueue: 20 * 1000,
  mappedFileSizeTimerLog: MIB,
  maxHashSlotNum: 10_000,
  maxIndexNum: 40_000,
  fileReservedTime: 2147483647,
  cleanResourceInterval: 3_600_000,
  serverChannelMaxIdleTimeSeconds: 0,
  channelExpiredTimeout: 2147483647,
  subscriptionExpiredTimeout: 2147483647,
};

/** What a topic is made with. */
export interface TestTopic {
  /** For reading and for writing; 4 by default. */
  readonly queues?: number;
  /** A topic's message.type; clients of RocketMQ 5 insist on it. */
  readonly type?: "NORMAL" | "FIFO" | "DELAY" | "TRANSACTION";
}

/** How a broker for tests is started; everything has a default. */
export interface TestBrokerOptions {
  /** Made before the broker is handed out. Others are made by the first message, as brokers do. */
  readonly topics?: readonly string[] | Readonly<Record<string, TestTopic>> | undefined;
  /** One of its own by default; several brokers can share one. */
  readonly clock?: TestClock | undefined;
  readonly hooks?: BrokerHooks | undefined;
  /** Properties of a broker by their Apache names. */
  readonly config?: Partial<BrokerConfig> | undefined;
  /** False leaves the endpoint of RocketMQ 5's clients out. */
  readonly grpc?: boolean | undefined;
  readonly log?: Logger | undefined;
}

const OPTIONS: OptionNames<TestBrokerOptions> = {
  topics: true,
  clock: true,
  hooks: true,
  config: true,
  grpc: true,
  log: true,
};
const TOPIC_OPTIONS: OptionNames<TestTopic> = { queues: true, type: true };

/** What a message has besides topic and body. */
export interface TestMessage {
  readonly tags?: string;
  /** Several between blanks. */
  readonly keys?: string;
  /** Delivered so many milliseconds later, by the test's clock. */
  readonly delayMs?: number;
  readonly properties?: Readonly<Record<string, string>>;
  /** One after the other by default. */
  readonly queueId?: number;
}

const MESSAGE_OPTIONS: OptionNames<TestMessage> = {
  tags: true,
  keys: true,
  delayMs: true,
  properties: true,
  queueId: true,
};

function wrong(name: string, value: unknown, why: string): CometError {
  return new CometError("COMETMQ_CONFIG", `${name} is ${shown(value)}, ${why}.`);
}

/** A broker on memory and free ports, with the test's clock. */
export class TestBroker {
  readonly clock: TestClock;
  /** The same as in production, for what is not here. */
  readonly server: Standalone;

  readonly #connection: LocalConnection;

  private constructor(clock: TestClock, server: Standalone) {
    this.clock = clock;
    this.server = server;
    const { processors, context } = server.broker;
    const peering = new LocalPeering(processors, clock, context.log);
    const origin = { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: server.port };
    this.#connection = new LocalConnection(peering, origin);
  }

  /** Resolves when it serves and `topics` are there. */
  static async start(options: TestBrokerOptions = {}): Promise<TestBroker> {
    checkOptionNames("TestBroker.start", options, OPTIONS);
    checkClockAndLog(options);
    const { topics = [], clock = new TestClock(), hooks, config, grpc = true, log } = options;
    if (typeof topics !== "object" || topics === null) throw wrong("topics", topics, "no list and no object of topics");
    if (hooks === null) throw wrong("hooks", hooks, "no object of functions");
    const server = await Standalone.start({
      dataDir: DIRECTORY,
      port: 0,
      namesrvPort: 0,
      grpcPort: grpc ? 0 : false,
      disk: new MemoryDisk(clock),
      clock,
      config: { ...CONFIG, ...config },
      hooks,
      log,
    });
    const broker = new TestBroker(clock, server);
    try {
      const named = Array.isArray(topics) ? topics.map((name: string) => [name, {}] as const) : Object.entries(topics);
      for (const [name, topic] of named) broker.createTopic(name, topic);
    } catch (error) {
      await broker.close();
      throw error;
    }
    return broker;
  }

  /** For clients of the Remoting protocol. */
  get namesrvAddr(): string {
    return this.server.namesrvAddr;
  }

  /** For clients of RocketMQ 5; undefined with `grpc: false`. */
  get endpoints(): string | undefined {
    return this.server.endpoints;
  }

  /** `clock.advance`: moves time on, and does what falls due on the way. */
  advance(by: number | string): Promise<void> {
    return this.clock.advance(by);
  }

  /** Makes a topic, or changes one. Throws COMETMQ_CONFIG for a name or number that cannot be. */
  createTopic(name: string, topic: TestTopic = {}): void {
    if (typeof name !== "string") throw wrong("name", name, "no topic's name");
    checkOptionNames(`Topic ${name}`, topic, TOPIC_OPTIONS);
    const { queues = 4, type = "NORMAL" } = topic;
    if (!Number.isInteger(queues)) throw wrong("queues", queues, "no number of queues");
    const { context } = this.server.broker;
    const settings = {
      topicName: name,
      readQueueNums: queues,
      writeQueueNums: queues,
      perm: PERM_READ | PERM_WRITE,
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: 0,
      order: false,
    } as const;
    const attributes = new Map([[`+${MESSAGE_TYPE_ATTRIBUTE}`, type]]);
    const problem = problemOf(context, { ...settings, attributes });
    if (problem !== undefined) throw new CometError("COMETMQ_CONFIG", problem);
    context.topics.update(settings, attributes);
  }

  /** A message to the topic, as from a producer. Rejects with COMETMQ_REMOTE and the broker's remark. */
  async send(topic: string, body: string | Uint8Array, message: TestMessage = {}): Promise<void> {
    if (typeof topic !== "string") throw wrong("topic", topic, "no topic's name");
    if (typeof body !== "string" && !(body instanceof Uint8Array))
      throw wrong("body", body, "neither a text nor bytes");
    checkOptionNames("A message of broker.send", message, MESSAGE_OPTIONS);
    const { tags, keys, delayMs, properties, queueId = -1 } = message;
    const given = {
      ...(keys === undefined ? {} : { [PropertyName.KEYS]: keys }),
      ...(tags === undefined ? {} : { [PropertyName.TAGS]: tags }),
      ...(delayMs === undefined ? {} : { [PropertyName.TIMER_DELAY_MS]: String(delayMs) }),
      ...properties,
    };
    const fields = {
      producerGroup: "TEST_PRODUCER",
      topic,
      defaultTopic: "TBW102",
      defaultTopicQueueNums: 4,
      queueId,
      sysFlag: 0,
      bornTimestamp: this.clock.nowMs(),
      flag: 0,
      properties: formatProperties(Object.entries(given)),
      reconsumeTimes: 0,
      unitMode: false,
      batch: false,
    };
    const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.from(body);
    expectSuccess(await this.#connection.request(RequestCode.SEND_MESSAGE, fields, bytes, SEND_MS));
  }

  /**
   * What lies in a topic, consumed or not, in the order in which it was stored; nothing where there is no such topic. A
   * group's retries lie in `%RETRY%group`, its dead letters in `%DLQ%group`. Bodies are as sent, compressed perhaps.
   */
  messages(topic: string): MessageExt[] {
    const { context, store } = this.server.broker;
    const known = context.topics.get(topic);
    if (known === undefined) return [];
    const messages: MessageExt[] = [];
    const result = emptyGetResult();
    for (let queueId = 0; queueId < Math.max(known.readQueueNums, known.writeQueueNums); queueId++) {
      const queue = topicQueue(context.store, known, queueId);
      for (let offset = store.minOffset(queue); offset < store.maxOffset(queue); ) {
        store.get(queue, offset, { maxCount: READ_MAX, maxBytes: 16 * MIB }, undefined, result);
        if (result.records.length === 0) break;
        // Copies: what the test keeps is not to change when the log goes.
        for (const record of result.records) messages.push(...decodeRecords(Buffer.from(record)));
        offset = result.nextBeginOffset;
      }
    }
    return messages.sort((a, b) => a.phyOffset - b.phyOffset);
  }

  /** Ends it; nothing is left. */
  close(): Promise<void> {
    this.#connection.close();
    return this.server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
