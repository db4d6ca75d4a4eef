/**
 * How far each group has got in each queue (broker/offset/ConsumerOffsetManager.java), saved as
 * `config/consumerOffset.json` under `topic@group`. Nothing here moves an offset backwards but a consumer or an
 * administrator who says so, which the log tells.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import { FastjsonEntries, type FastjsonInput, type FastjsonMap } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion } from "../protocol/data-version.js";
import { asInt, asKey, asLong, asMap } from "../protocol/members.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import { entryOf } from "./entry-of.js";
import { ExpectedRestarts } from "./expected-restarts.js";
import {
  type JsonConfigFile,
  type LoadReport,
  type Omissions,
  savedDataVersion,
  savedTable,
} from "./json-config-file.js";
import { isSafeName } from "./names.js";

/** By queue id. */
export type QueueOffsets = ReadonlyMap<number, number>;

/** There are as many as groups have topics: what few of them need is made when it is needed. */
class TopicOffsets {
  readonly committed = new Map<number, number>();
  /** Where the group reads, which may be ahead of what it has committed. Not saved. */
  pulled: Map<number, number> | undefined;
  /** Where an administrator wants the group to go on; until it has read from there its commits do not count. Not saved. */
  reset: Map<number, number> | undefined;
}

/** Who keeps more of a group's reading than this table does. */
export interface OffsetListener {
  /** An administrator sends the group to `offset`. */
  reset?(group: string, topic: string, queueId: number, offset: number): void;
  /** Where the group goes on in a queue that it has read without committing all of it; -1 where it has not. */
  readTo?(group: string, topic: string, queueId: number): number;
  topicGone?(topic: string): void;
  groupGone?(group: string): void;
}

export interface ConsumerOffsetTableOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
}

export class ConsumerOffsetTable {
  readonly saver: ConfigSaver;
  readonly listeners: OffsetListener[] = [];
  dataVersion: DataVersion;
  /** Group to topic. No inner map is empty. */
  readonly #groups = new Map<string, Map<string, TopicOffsets>>();
  readonly #restarts = new ExpectedRestarts();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: JsonConfigFile | undefined;
  #commitCount = 0;

  constructor({ config, clock, log, file }: ConsumerOffsetTableOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    this.dataVersion = savedDataVersion(content, omissions) ?? this.dataVersion;
    const table = savedTable(content, "offsetTable", omissions);
    for (const [key, value] of table) {
      try {
        const name = asKey(key, "offsetTable");
        const [topic = "", group = "", ...rest] = name.split("@");
        if (rest.length > 0 || !isSafeName(topic) || !isSafeName(group)) omissions.drop(`the entry ${name}`);
        else this.#takeQueues(topic, group, asMap(value, name), omissions);
      } catch (error) {
        omissions.drop("an entry of offsetTable", error);
      }
    }
  }

  #takeQueues(topic: string, group: string, queues: FastjsonMap, omissions: Omissions): void {
    const offsets = this.#make(group, topic);
    for (const [key, value] of queues) {
      try {
        const queueId = asInt(typeof key === "object" ? null : key, "a queue id");
        const offset = asLong(value, "an offset");
        if (queueId >= 0 && offset >= 0) offsets.committed.set(queueId, offset);
        else omissions.drop(`offset ${offset} of queue ${queueId} of ${topic}@${group}`);
      } catch (error) {
        omissions.drop(`an offset of ${topic}@${group}`, error);
      }
    }
  }

  /**
   * Takes the consumer's word, also for an offset smaller than before, unless a reset is pending. `queueId` and `offset`
   * are not negative.
   */
  commitOffset(clientHost: string, group: string, topic: string, queueId: number, offset: number): void {
    if (this.#restarts.has(group, topic, queueId)) return;
    const { committed, reset } = this.#find(group, topic) ?? this.#make(group, topic);
    if (this.#config.useServerSideResetOffset && reset?.has(queueId)) return;
    const before = committed.get(queueId);
    if (before !== offset) this.saver.markDirty();
    committed.set(queueId, offset);
    if (before !== undefined && offset < before) {
      this.#log.warn({ clientHost, group, topic, queueId, offset, before }, "a consumer moved its offset back");
    }
    if (++this.#commitCount % this.#config.consumerOffsetUpdateVersionStep === 0) this.#nextVersion();
  }

  commitPullOffset(group: string, topic: string, queueId: number, offset: number): void {
    const offsets = this.#find(group, topic) ?? this.#make(group, topic);
    offsets.pulled ??= new Map();
    offsets.pulled.set(queueId, offset);
  }

  /** Where the group is to go on: what it has committed or was reset to; -1 when it has neither. */
  queryOffset(group: string, topic: string, queueId: number): number {
    return this.#find(group, topic)?.committed.get(queueId) ?? -1;
  }

  /**
   * Where a member that takes the queue up goes on: what the group has popped and not acknowledged is leased, and comes
   * again by its retry topic.
   */
  nextOffset(group: string, topic: string, queueId: number): number {
    let offset = this.queryOffset(group, topic, queueId);
    for (const listener of this.listeners) offset = Math.max(offset, listener.readTo?.(group, topic, queueId) ?? -1);
    return offset;
  }

  queryPullOffset(group: string, topic: string, queueId: number): number {
    return this.#find(group, topic)?.pulled?.get(queueId) ?? this.queryOffset(group, topic, queueId);
  }

  /** What the group has committed in `topic`, by queue. */
  offsetsOf(group: string, topic: string): QueueOffsets | undefined {
    return this.#find(group, topic)?.committed;
  }

  /** An administrator's reset: holds until the group reads from there (`queryThenEraseResetOffset`). */
  assignResetOffset(topic: string, group: string, queueId: number, offset: number): void {
    const offsets = this.#find(group, topic) ?? this.#make(group, topic);
    offsets.reset ??= new Map();
    offsets.reset.set(queueId, offset);
    offsets.committed.set(queueId, offset);
    this.#nextVersion();
    this.saver.markDirty();
    for (const listener of this.listeners) listener.reset?.(group, topic, queueId, offset);
  }

  /** Whether commits do not count, for the group is to be sent elsewhere. */
  hasOffsetReset(topic: string, group: string, queueId: number): boolean {
    if (this.#restarts.has(group, topic, queueId)) return true;
    return this.#config.useServerSideResetOffset && this.#find(group, topic)?.reset?.has(queueId) === true;
  }

  queryThenEraseResetOffset(topic: string, group: string, queueId: number): number | undefined {
    const reset = this.#find(group, topic)?.reset;
    const offset = reset?.get(queueId);
    if (offset !== undefined) reset!.delete(queueId);
    return offset;
  }

  /** The topic is deleted, and the group reads it: holds for each queue until the group reads there again. */
  expectRestart(group: string, topic: string, queueCount: number): void {
    this.#restarts.add(group, topic, queueCount);
  }

  /** True once after `expectRestart`: the reader is to begin at 0. */
  queryThenEraseRestart(group: string, topic: string, queueId: number): boolean {
    return this.#restarts.take(group, topic, queueId);
  }

  /** Nobody is left who could hold offsets of deleted topics. */
  forgetRestarts(group: string): void {
    this.#restarts.forgetGroup(group);
  }

  /** Groups that offsets are kept of. */
  get groupCount(): number {
    return this.#groups.size;
  }

  has(group: string): boolean {
    return this.#groups.has(group);
  }

  cloneOffset(srcGroup: string, destGroup: string, topic: string): void {
    const from = this.#find(srcGroup, topic)?.committed;
    if (from === undefined || from.size === 0 || srcGroup === destGroup) return;
    const offsets = this.#make(destGroup, topic);
    offsets.committed.clear();
    offsets.reset = undefined;
    for (const [queueId, offset] of from) offsets.committed.set(queueId, offset);
    this.saver.markDirty();
  }

  /** Topics in which the group has committed something. */
  topicsOf(group: string): string[] {
    const topics: string[] = [];
    for (const [topic, { committed }] of this.#groups.get(group) ?? []) if (committed.size > 0) topics.push(topic);
    return topics;
  }

  groupsOf(topic: string): string[] {
    const groups: string[] = [];
    for (const [group, topics] of this.#groups) {
      if ((topics.get(topic)?.committed.size ?? 0) > 0) groups.push(group);
    }
    return groups;
  }

  /**
   * The smallest committed offset of any group in each queue of `topic`, groups behind the queue's minimum left out
   * (they have lost messages already), as those in `leftOut`. `minOffset` tells a queue's minimum.
   */
  minOffsetInAllGroups(
    topic: string,
    minOffset: (queueId: number) => number,
    leftOut: ReadonlySet<string>,
  ): Map<number, number> {
    const smallest = new Map<number, number>();
    for (const [group, topics] of this.#groups) {
      if (leftOut.has(group)) continue;
      for (const [queueId, offset] of topics.get(topic)?.committed ?? []) {
        if (offset < minOffset(queueId)) continue;
        smallest.set(queueId, Math.min(offset, smallest.get(queueId) ?? offset));
      }
    }
    return smallest;
  }

  removeGroup(group: string): boolean {
    const removed = this.#groups.delete(group);
    this.#restarts.forgetGroup(group);
    if (removed) this.saver.markDirty();
    for (const listener of this.listeners) listener.groupGone?.(group);
    return removed;
  }

  removeTopic(topic: string): boolean {
    let removed = false;
    for (const [group, topics] of this.#groups) {
      if (!topics.delete(topic)) continue;
      removed = true;
      if (topics.size === 0) this.#groups.delete(group);
    }
    this.#restarts.forgetTopic(topic);
    if (removed) this.saver.markDirty();
    for (const listener of this.listeners) listener.topicGone?.(topic);
    return removed;
  }

  /** As `consumerOffset.json` and code 43 have it. */
  toJson(): FastjsonInput {
    const all = () => this.#committed();
    const groupTopicMap = new FastjsonEntries(function* () {
      for (const [group, topics] of all()) yield [group, topics.map(([name]) => name)];
    });
    const offsetTable = new FastjsonEntries(function* () {
      for (const [group, topics] of all()) {
        for (const [name, { committed }] of topics) yield [`${name}@${group}`, committed];
      }
    });
    return { dataVersion: dataVersionJson(this.dataVersion), groupTopicMap, offsetTable };
  }

  /** By group; of topics those in which it has committed something. */
  *#committed(): Iterable<readonly [string, readonly (readonly [string, TopicOffsets])[]]> {
    for (const [group, topics] of this.#groups) {
      const committed = [...topics].filter(([, offsets]) => offsets.committed.size > 0);
      if (committed.length > 0) yield [group, committed];
    }
  }

  #find(group: string, topic: string): TopicOffsets | undefined {
    return this.#groups.get(group)?.get(topic);
  }

  #make(group: string, topic: string): TopicOffsets {
    const topics = entryOf(this.#groups, group, () => new Map<string, TopicOffsets>());
    return entryOf(topics, topic, () => new TopicOffsets());
  }

  #nextVersion(): void {
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
  }
}
