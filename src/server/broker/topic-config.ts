/**
 * The topics of this broker (broker/topic/TopicConfigManager.java). A topic is one object for as long as it exists, found
 * by name or by the name's bytes; its settings change in place. Saved as `config/topics.json`.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { FastjsonEntries, type FastjsonInput, type FastjsonMap, FastjsonText } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion } from "../protocol/data-version.js";
import { asKey, asMap } from "../protocol/members.js";
import {
  DEFAULT_QUEUE_NUMS,
  PERM_INHERIT,
  PERM_READ,
  PERM_WRITE,
  readTopicConfig,
  type TopicConfig,
  type TopicFilterType,
  topicConfigJson,
} from "../protocol/topic-config.js";
import { alterEach, TOPIC_ATTRIBUTES } from "./attributes.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import { textOf } from "./config-text.js";
import { defaultTopics } from "./default-topics.js";
import {
  type JsonConfigFile,
  type LoadReport,
  type Omissions,
  savedDataVersion,
  savedTable,
} from "./json-config-file.js";
import { type Named, NameTable } from "./name-table.js";
import { AUTO_CREATE_TOPIC, isSafeName, SYSTEM_TOPIC_PREFIX, SYSTEM_TOPICS, validateTopic } from "./names.js";
import { StatsItem } from "./stats-item.js";
import type { QueueHandle, StorePort } from "./store-port.js";

const PERM_READ_WRITE = PERM_READ | PERM_WRITE;
const FILE_QUEUE_COUNT_MAX = 65536;
/** Of an entry of a table in a configuration file. */
const TABLE_INDENT = "\t\t";

/** One topic, interned. */
export class Topic implements Named, TopicConfig {
  readonly name: string;
  readonly nameBytes: Buffer;
  readQueueNums = DEFAULT_QUEUE_NUMS;
  writeQueueNums = DEFAULT_QUEUE_NUMS;
  perm = PERM_READ_WRITE;
  topicFilterType: TopicFilterType = "SINGLE_TAG";
  topicSysFlag = 0;
  order = false;
  attributes: ReadonlyMap<string, string> = new Map();
  /** By queue id, filled by `topicQueue`. */
  readonly queues: (QueueHandle | undefined)[] = [];
  /** Messages stored for this topic, and their bytes. */
  readonly puts = new StatsItem();
  readonly putSizes = new StatsItem();
  #savedText: FastjsonText | undefined;

  constructor(name: string) {
    this.name = name;
    this.nameBytes = Buffer.from(name);
  }

  get topicName(): string {
    return this.name;
  }

  /** Its queues are batch ones, which this broker only reads: a message put there would be found nowhere. */
  get hasBatchQueues(): boolean {
    return this.attributes.size > 0 && this.attributes.get("queue.type") === "BatchCQ";
  }

  /** As `topics.json` has it: all topics are saved whenever one of them changes. */
  get savedText(): FastjsonText {
    // In one piece: a string that was added together keeps all that it was made of.
    this.#savedText ??= new FastjsonText(Buffer.from(textOf(topicConfigJson(this), TABLE_INDENT)).toString());
    return this.#savedText;
  }

  /** The only way to change settings. */
  assign(settings: Partial<Omit<TopicConfig, "topicName">>): this {
    this.#savedText = undefined;
    this.readQueueNums = settings.readQueueNums ?? this.readQueueNums;
    this.writeQueueNums = settings.writeQueueNums ?? this.writeQueueNums;
    this.perm = settings.perm ?? this.perm;
    this.topicFilterType = settings.topicFilterType ?? this.topicFilterType;
    this.topicSysFlag = settings.topicSysFlag ?? this.topicSysFlag;
    this.order = settings.order ?? this.order;
    this.attributes = settings.attributes ?? this.attributes;
    return this;
  }
}

/** The store's handle of a queue of `topic`; `queueId` has been checked. */
export function topicQueue(store: StorePort, topic: Topic, queueId: number): QueueHandle {
  let queue = topic.queues[queueId];
  if (queue === undefined) {
    queue = store.queue(topic.name, queueId);
    topic.queues[queueId] = queue;
  }
  return queue;
}

export interface TopicTableOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** Without one the topics live in memory only. */
  readonly file?: JsonConfigFile | undefined;
}

export class TopicTable {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  /** Called after a change with the names of the topics that are new, changed or gone. */
  onChange: (names: readonly string[]) => void = () => {};
  readonly #topics = new NameTable<Topic>();
  readonly #systemTopics = new Set(SYSTEM_TOPICS);
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: JsonConfigFile | undefined;

  constructor({ config, clock, log, file }: TopicTableOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
    for (const settings of defaultTopics(config)) {
      this.#systemTopics.add(settings.topicName);
      this.#topics.set(new Topic(settings.topicName).assign(settings));
    }
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    this.dataVersion = savedDataVersion(content, omissions) ?? this.dataVersion;
    const table = savedTable(content, "topicConfigTable", omissions);
    for (const [key, value] of table) {
      try {
        const name = asKey(key, "topicConfigTable");
        const settings = readTopicConfig(asMap(value, name), name);
        const names = this.#namesOf(name, settings, table);
        const problem = names.length === 0 ? "its name has illegal characters" : fileProblem(settings);
        if (problem !== undefined) omissions.drop(`topic ${name}: ${problem}; it`);
        else for (const one of names) this.#topicOf(one).assign(settings);
      } catch (error) {
        omissions.drop("a topic", error);
      }
    }
  }

  /** Whoever has damaged one of its two names: its messages are not to be out of reach. */
  #namesOf(key: string, { topicName }: TopicConfig, table: FastjsonMap): string[] {
    const names = [key, topicName].filter((name, i) => isSafeName(name) && (i === 0 || !table.has(name)));
    if (key !== topicName)
      this.#log.warn({ key, topicName, names }, "a topic is listed under a name that is not its own");
    return names;
  }

  #topicOf(name: string): Topic {
    return this.#topics.get(name) ?? this.#add(new Topic(name));
  }

  get size(): number {
    return this.#topics.size;
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** The topic whose name is `bytes[start, end)`; makes no string. */
  getBytes(bytes: Uint8Array, start: number, end: number): Topic | undefined {
    return this.#topics.getBytes(bytes, start, end);
  }

  values(): IterableIterator<Topic> {
    return this.#topics.values();
  }

  isOrderTopic(name: string): boolean {
    return this.get(name)?.order === true;
  }

  isSystemTopic(name: string): boolean {
    return this.#systemTopics.has(name) || name.startsWith(SYSTEM_TOPIC_PREFIX);
  }

  systemTopics(): ReadonlySet<string> {
    return this.#systemTopics;
  }

  /**
   * The topic for a message to a topic that does not exist yet, made after `defaultTopic` (TBW102). Undefined when the
   * configuration, that topic's permission, the name or the bound on topics forbids it.
   */
  createInSendMessage(
    name: string,
    defaultTopic: string,
    remoteAddress: string,
    clientDefaultTopicQueueNums: number,
    topicSysFlag: number,
  ): Topic | undefined {
    const existing = this.get(name);
    if (existing !== undefined) return existing;
    const model = this.get(defaultTopic);
    if (model?.name === AUTO_CREATE_TOPIC && !this.#config.autoCreateTopicEnable)
      model.assign({ perm: PERM_READ_WRITE });
    if (model === undefined || (model.perm & PERM_INHERIT) === 0) {
      this.#log.warn({ topic: name, defaultTopic, remoteAddress }, "no such topic, and it may not be made");
      return undefined;
    }
    const problem = validateTopic(name);
    if (problem !== "") {
      this.#log.warn({ topic: name.slice(0, 300), problem, remoteAddress }, "topic not created");
      return undefined;
    }
    const queueNums = Math.max(0, Math.min(clientDefaultTopicQueueNums, model.writeQueueNums));
    const perm = model.perm & ~PERM_INHERIT;
    const { topicFilterType } = model;
    return this.#create(name, {
      readQueueNums: queueNums,
      writeQueueNums: queueNums,
      perm,
      topicSysFlag,
      topicFilterType,
    });
  }

  /** The retry or dead-letter topic of a group, made if missing; undefined when the name or the bound forbids it. */
  createInSendMessageBack(
    name: string,
    queueNums: number,
    perm: number,
    order: boolean,
    topicSysFlag: number,
  ): Topic | undefined {
    const existing = this.get(name);
    if (existing === undefined) {
      return this.#create(name, { readQueueNums: queueNums, writeQueueNums: queueNums, perm, topicSysFlag, order });
    }
    if (existing.order !== order) {
      existing.assign({ order });
      this.#changed(name);
      this.saver.saveSoon();
    }
    return existing;
  }

  /**
   * Makes or changes a topic as an administrator asks; `attributeChanges` are keys with their sign. Throws
   * COMETMQ_BAD_REQUEST and then nothing has changed.
   */
  update(settings: Omit<TopicConfig, "attributes">, attributeChanges: ReadonlyMap<string, string>): void {
    this.updateAll([{ ...settings, attributes: attributeChanges }]);
  }

  /** As `update`, for all or none of them. */
  updateAll(requests: readonly TopicConfig[]): void {
    const changes = requests.map(({ topicName, attributes }) => ({ name: topicName, changes: attributes }));
    const altered = alterEach(TOPIC_ATTRIBUTES, changes, (name) => this.get(name)?.attributes);
    this.#refuseBeyondBound(changes.map(({ name }) => name));
    for (const [i, settings] of requests.entries()) {
      const existing = this.get(settings.topicName);
      const topic = existing ?? this.#add(new Topic(settings.topicName));
      topic.assign({ ...settings, attributes: altered[i]! });
      const { attributes: _changes, ...shown } = settings;
      this.#log.info({ topic: topic.name, settings: shown, created: existing === undefined }, "topic updated");
      this.#changed(topic.name);
    }
    if (requests.length > 0) this.saver.markDirty();
  }

  /** Whether `update` would change nothing. */
  isAsRequested(settings: Omit<TopicConfig, "attributes">, attributeChanges: ReadonlyMap<string, string>): boolean {
    const topic = this.get(settings.topicName);
    if (topic === undefined || attributeChanges.size > 0 || topic.attributes.size > 0) return false;
    return (
      topic.readQueueNums === settings.readQueueNums &&
      topic.writeQueueNums === settings.writeQueueNums &&
      topic.perm === settings.perm &&
      topic.topicFilterType === settings.topicFilterType &&
      topic.topicSysFlag === settings.topicSysFlag &&
      topic.order === settings.order
    );
  }

  /** False when there is no such topic. Whoever holds the object must not use its queues any more. */
  delete(name: string): boolean {
    const topic = this.#topics.delete(name);
    if (topic === undefined) return false;
    topic.queues.length = 0;
    this.#log.info({ topic: name }, "topic deleted");
    this.#changed(name);
    this.saver.markDirty();
    return true;
  }

  /** Marks the topics named by the name server as ordered (broker/topic/TopicConfigManager#updateOrderTopicConfig). */
  markOrdered(names: Iterable<string>): void {
    for (const name of names) {
      const topic = this.get(name);
      if (topic === undefined || topic.order) continue;
      topic.assign({ order: true });
      this.#changed(name);
      this.saver.saveSoon();
    }
  }

  /** A new version without a new topic: for settings that registrations carry with the topics. */
  touch(): void {
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
    this.saver.markDirty();
    this.onChange([]);
  }

  /** As `topics.json` has it, and registrations and code 21 but for what static topics add. */
  toJson(): FastjsonInput {
    const topics = this.#topics;
    const topicConfigTable = new FastjsonEntries(function* () {
      for (const topic of topics.values()) yield [topic.name, topic.savedText];
    });
    return { dataVersion: dataVersionJson(this.dataVersion), topicConfigTable };
  }

  configs(): Map<string, TopicConfig> {
    const configs = new Map<string, TopicConfig>();
    for (const topic of this.#topics.values()) configs.set(topic.name, topic);
    return configs;
  }

  #create(name: string, settings: Partial<TopicConfig>): Topic | undefined {
    const problem = this.#isFull() ? "there are too many topics" : isSafeName(name) ? "" : "the name is illegal";
    if (problem !== "") {
      this.#log.warn({ topic: name.slice(0, 300), problem }, "topic not created");
      return undefined;
    }
    const topic = this.#add(new Topic(name)).assign(settings);
    this.#log.info({ topic: name, settings }, "topic created");
    this.#changed(name);
    this.saver.saveSoon();
    return topic;
  }

  #add(topic: Topic): Topic {
    this.#topics.set(topic);
    return topic;
  }

  #isFull(): boolean {
    return this.#topics.size >= this.#config.topicCountMax;
  }

  #refuseBeyondBound(names: readonly string[]): void {
    const newNames = new Set(names.filter((name) => this.get(name) === undefined));
    if (newNames.size === 0 || this.size + newNames.size <= this.#config.topicCountMax) return;
    const message = `There are ${this.size} topics, and ${newNames.size} more are more than topicCountMax allows.`;
    throw new CometError("COMETMQ_BAD_REQUEST", message);
  }

  #changed(name: string): void {
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
    this.onChange([name]);
  }
}

/** Files may be older than today's rules, or Apache's: what matters is that a name is a file name and counts are sane. */
function fileProblem(settings: TopicConfig): string | undefined {
  for (const count of [settings.readQueueNums, settings.writeQueueNums]) {
    if (count < 0 || count > FILE_QUEUE_COUNT_MAX) return `it can not have ${count} queues`;
  }
  return undefined;
}
