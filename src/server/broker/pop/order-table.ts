/**
 * The ordered pops of this broker (broker/pop/orderly/QueueLevelConsumerManager.java), saved as
 * `config/consumerOrderInfo.json` under `topic@group`.
 */
import type { Clock } from "../../../base/clock.js";
import type { Logger } from "../../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../../remoting/fastjson.js";
import { asInt, asKey, asMap } from "../../protocol/members.js";
import { ConfigSaver } from "../config-saver.js";
import { entryOf } from "../entry-of.js";
import { type JsonConfigFile, type LoadReport, type Omissions, savedTable } from "../json-config-file.js";
import { isSafeName } from "../names.js";
import { OrderInfo } from "./order-info.js";

/** A queue that a group has not popped for so long is forgotten, as Apache forgets it. */
const FORGET_MS = 24 * 3600 * 1000;

export class OrderTable {
  readonly saver: ConfigSaver;
  /** `topic@group` to queue id. No inner map is empty. */
  readonly #entries = new Map<string, Map<number, OrderInfo>>();
  readonly #clock: Clock;
  readonly #file: JsonConfigFile | undefined;

  constructor(clock: Clock, log: Logger, file: JsonConfigFile | undefined) {
    this.#clock = clock;
    this.#file = file;
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    const table = savedTable(content, "table", omissions);
    for (const [key, value] of table) {
      try {
        const name = asKey(key, "table");
        const [topic = "", group = "", ...rest] = name.split("@");
        if (rest.length > 0 || !isSafeName(topic) || !isSafeName(group)) omissions.drop(`the entry ${name}`);
        else this.#takeQueues(topic, group, asMap(value, name), omissions);
      } catch (error) {
        omissions.drop("an entry of table", error);
      }
    }
  }

  #takeQueues(topic: string, group: string, queues: FastjsonMap, omissions: Omissions): void {
    for (const [key, value] of queues) {
      try {
        const queueId = asInt(typeof key === "object" ? null : key, "a queue id");
        this.#put(topic, group, queueId, OrderInfo.fromJson(asMap(value, "an ordered pop")));
      } catch (error) {
        omissions.drop(`an ordered pop of ${topic}@${group}`, error);
      }
    }
  }

  #put(topic: string, group: string, queueId: number, info: OrderInfo): void {
    entryOf(this.#entries, `${topic}@${group}`, () => new Map<number, OrderInfo>()).set(queueId, info);
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  get(topic: string, group: string, queueId: number): OrderInfo | undefined {
    return this.#entries.get(`${topic}@${group}`)?.get(queueId);
  }

  set(topic: string, group: string, queueId: number, info: OrderInfo): void {
    this.#put(topic, group, queueId, info);
    this.saver.markDirty();
  }

  /** The entry has changed. */
  touch(): void {
    this.saver.markDirty();
  }

  /** The group goes on elsewhere in the queue. */
  clear(topic: string, group: string, queueId: number): void {
    const key = `${topic}@${group}`;
    const queues = this.#entries.get(key);
    if (queues?.delete(queueId) !== true) return;
    if (queues.size === 0) this.#entries.delete(key);
    this.saver.markDirty();
  }

  removeTopic(topic: string): void {
    this.#removeWhere((key) => key.startsWith(`${topic}@`));
  }

  removeGroup(group: string): void {
    this.#removeWhere((key) => key.endsWith(`@${group}`));
  }

  #removeWhere(isDoomed: (key: string) => boolean): void {
    for (const key of [...this.#entries.keys()]) {
      if (!isDoomed(key)) continue;
      this.#entries.delete(key);
      this.saver.markDirty();
    }
  }

  /** Every queue, for the journal's snapshot and for timers. */
  *all(): IterableIterator<{ topic: string; group: string; queueId: number; info: OrderInfo }> {
    for (const [key, queues] of this.#entries) {
      const [topic = "", group = ""] = key.split("@");
      for (const [queueId, info] of queues) yield { topic, group, queueId, info };
    }
  }

  /** Forgets what nobody has used for long, but not that a message was acknowledged which would come again else. */
  scan(): void {
    const oldest = this.#clock.nowMs() - FORGET_MS;
    for (const { topic, group, queueId, info } of [...this.all()]) {
      if (info.lastConsumeTimestamp >= oldest || info.freeAtMs() >= oldest) continue;
      if (info.ackedBehindFirst.size === 0) this.clear(topic, group, queueId);
    }
  }

  toJson(): FastjsonInput {
    const table = new Map<string, FastjsonInput>();
    for (const [key, queues] of this.#entries) {
      table.set(key, new Map([...queues].map(([queueId, info]) => [queueId, info.toJson()] as const)));
    }
    return { table };
  }
}
