/**
 * Which expression filters a group's messages of a topic, by what its heartbeats say (broker/filter/
 * ConsumerFilterManager.java), saved as `config/consumerFilter.json`. Of two heartbeats the one with the newer version
 * counts. An expression is compiled when the first pull asks for it; one that cannot be is as good as none, and the pull
 * is told so.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { FilterCache } from "../../filter/filter-cache.js";
import { EXPRESSION_CHARS_MAX, type MessageFilter } from "../../filter/message-filter.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { asKey, asMap, longMember, mapMember, textMember } from "../protocol/members.js";
import { BLOOM_BIT_NUM, bloomBitPositions } from "./bloom-filter.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import type { ConsumerListener } from "./consumer-table.js";
import { entryOf } from "./entry-of.js";
import { isTagType, type SubscriptionData } from "./heartbeat-data.js";
import { type JsonConfigFile, type LoadReport, type Omissions, savedTable } from "./json-config-file.js";
import { isSafeName } from "./names.js";

const ENTRIES_MAX = 10_000;
const CHARS_MAX = 16 * 1024 * 1024;
/** Who was alive when the file was written is taken to have died so long before it was read. */
const DEAD_BEFORE_LOAD_MS = 30_000;

export interface ConsumerFilterData {
  readonly consumerGroup: string;
  readonly topic: string;
  readonly expressionType: string;
  readonly expression: string;
  readonly bornTime: number;
  /** 0 while members of the group are alive. */
  deadTime: number;
  clientVersion: number;
  /** Whether it compiles; undefined while nobody has tried. */
  sound: boolean | undefined;
}

export interface ConsumerFilterOptions {
  readonly config: BrokerConfig;
  readonly filters: FilterCache;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
}

export class ConsumerFilterTable implements ConsumerListener {
  readonly saver: ConfigSaver;
  readonly #options: ConsumerFilterOptions;
  /** Group to topic. No inner map is empty. */
  readonly #groups = new Map<string, Map<string, ConsumerFilterData>>();
  #count = 0;
  #chars = 0;

  constructor(options: ConsumerFilterOptions) {
    this.#options = options;
    this.saver = new ConfigSaver(options.file, () => this.toJson(), options.clock, options.log);
  }

  load(): LoadReport | undefined {
    return this.#options.file?.load((content, omissions) => this.#take(content, omissions));
  }

  get(topic: string, group: string): ConsumerFilterData | undefined {
    return this.#groups.get(group)?.get(topic);
  }

  /** Throws COMETMQ_BAD_EXPRESSION where the expression is none. */
  filterOf(data: ConsumerFilterData): MessageFilter {
    const tried = data.sound !== undefined;
    data.sound ??= false;
    const filter = this.#options.filters.get(data.expressionType, data.expression);
    data.sound = true;
    if (!tried) this.saver.markDirty();
    return filter;
  }

  /** A heartbeat. */
  subscribed(group: string, subscriptions: readonly SubscriptionData[]): void {
    for (const subscription of subscriptions) {
      if (!isTagType(subscription.expressionType) && subscription.subString !== "") this.#register(group, subscription);
    }
    const known = this.#groups.get(group);
    if (known === undefined) return;
    const topics = new Set(subscriptions.map(({ topic }) => topic));
    for (const data of known.values()) if (!topics.has(data.topic)) this.#bury(data);
  }

  groupGone(group: string): void {
    for (const data of this.#groups.get(group)?.values() ?? []) this.#bury(data);
  }

  #register(group: string, { topic, subString, expressionType, subVersion, tooLong }: SubscriptionData): void {
    const old = this.get(topic, group);
    const same = old?.expression === subString && old.expressionType === expressionType;
    if (old !== undefined && (same || (subVersion <= old.clientVersion && old.sound !== false))) {
      if (subVersion < old.clientVersion) return;
      if (subVersion === old.clientVersion && old.deadTime === 0) return;
      if (subVersion > old.clientVersion) old.clientVersion = subVersion;
      old.deadTime = 0;
      this.saver.markDirty();
      return;
    }
    if (old !== undefined) this.#remove(old);
    // It would not compile. Without an entry the pull says so.
    if (tooLong === true) return;
    if (!this.#makeRoom(subString.length)) {
      this.#options.log.warn({ group, topic }, "too many filter expressions, this one is not taken");
      return;
    }
    const bornTime = this.#options.clock.nowMs();
    const state = { bornTime, deadTime: 0, clientVersion: subVersion, sound: undefined };
    this.#add({ consumerGroup: group, topic, expression: subString, expressionType, ...state });
  }

  /** Forgets the dead, if need be. */
  #makeRoom(chars: number): boolean {
    const fits = () => this.#count < ENTRIES_MAX && this.#chars + chars <= CHARS_MAX;
    if (!fits()) this.#forgetDead(0);
    return fits();
  }

  #add(data: ConsumerFilterData): void {
    entryOf(this.#groups, data.consumerGroup, () => new Map<string, ConsumerFilterData>()).set(data.topic, data);
    this.#count++;
    this.#chars += data.expression.length;
    this.saver.markDirty();
  }

  #remove(data: ConsumerFilterData): void {
    const topics = this.#groups.get(data.consumerGroup)!;
    topics.delete(data.topic);
    if (topics.size === 0) this.#groups.delete(data.consumerGroup);
    this.#count--;
    this.#chars -= data.expression.length;
    this.saver.markDirty();
  }

  #bury(data: ConsumerFilterData): void {
    if (data.deadTime !== 0) return;
    data.deadTime = this.#options.clock.nowMs();
    this.saver.markDirty();
  }

  #forgetDead(afterMs: number): void {
    const deadline = this.#options.clock.nowMs() - afterMs;
    for (const topics of [...this.#groups.values()]) {
      for (const data of [...topics.values()]) if (data.deadTime !== 0 && data.deadTime <= deadline) this.#remove(data);
    }
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    for (const [key, value] of savedTable(content, "filterDataByTopic", omissions)) {
      try {
        const groups = mapMember(asMap(value, asKey(key, "filterDataByTopic")), "groupFilterData");
        for (const entry of groups?.values() ?? []) this.#takeEntry(asMap(entry, "groupFilterData"), omissions);
      } catch (error) {
        omissions.drop("an entry of filterDataByTopic", error);
      }
    }
  }

  #takeEntry(map: FastjsonMap, omissions: Omissions): void {
    const data: ConsumerFilterData = {
      consumerGroup: textMember(map, "consumerGroup") ?? "",
      topic: textMember(map, "topic") ?? "",
      expressionType: textMember(map, "expressionType") ?? "",
      expression: textMember(map, "expression") ?? "",
      bornTime: longMember(map, "bornTime", 0),
      deadTime: longMember(map, "deadTime", 0),
      clientVersion: longMember(map, "clientVersion", 0),
      sound: undefined,
    };
    const named = isSafeName(data.consumerGroup) && isSafeName(data.topic) && !isTagType(data.expressionType);
    if (
      !named ||
      data.expression.length > EXPRESSION_CHARS_MAX ||
      this.get(data.topic, data.consumerGroup) !== undefined
    ) {
      omissions.drop(`the filter of ${data.consumerGroup} for ${data.topic}`);
    } else if (this.#makeRoom(data.expression.length)) {
      data.deadTime ||= Math.max(data.bornTime, this.#options.clock.nowMs() - DEAD_BEFORE_LOAD_MS);
      this.#add(data);
    }
  }

  /** Those that are known to compile: Apache would take another one of a file for no filter at all. */
  toJson(): FastjsonInput {
    this.#forgetDead(this.#options.config.filterDataCleanTimeSpan);
    const topics = new Map<string, Map<string, FastjsonInput>>();
    for (const groups of this.#groups.values()) {
      for (const data of groups.values()) {
        if (data.sound === true) entryOf(topics, data.topic, () => new Map()).set(data.consumerGroup, dataJson(data));
      }
    }
    const filterDataByTopic = new Map<string, FastjsonInput>();
    for (const [topic, groupFilterData] of topics) filterDataByTopic.set(topic, { groupFilterData, topic });
    return { filterDataByTopic };
  }
}

function dataJson(data: ConsumerFilterData): FastjsonInput {
  return {
    bloomFilterData: { bitNum: BLOOM_BIT_NUM, bitPos: bloomBitPositions(data.consumerGroup, data.topic) },
    bornTime: data.bornTime,
    clientVersion: data.clientVersion,
    consumerGroup: data.consumerGroup,
    dead: data.deadTime >= data.bornTime,
    deadTime: data.deadTime,
    expression: data.expression,
    expressionType: data.expressionType,
    topic: data.topic,
  };
}
