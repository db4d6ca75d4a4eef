/**
 * How far the messages of each delay level are delivered (broker/schedule/DelayOffsetSerializeWrapper.java), saved as
 * `config/delayOffset.json`. The file is always behind the delivery: it gets an offset only when the copies of all
 * messages before it are on the disk, so a crash repeats messages and loses none.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion } from "../protocol/data-version.js";
import { asInt, asLong } from "../protocol/members.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import {
  type JsonConfigFile,
  type LoadReport,
  type Omissions,
  savedDataVersion,
  savedTable,
} from "./json-config-file.js";

/** Level to the offset in its queue of the first message that is not delivered. */
export type DelayOffsets = ReadonlyMap<number, number>;

export interface DelayOffsetTableOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
}

export class DelayOffsetTable {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #file: JsonConfigFile | undefined;
  readonly #offsets = new Map<number, number>();
  /** What the file may say. */
  #settled: DelayOffsets = new Map();
  #changed = false;
  #updateCount = 0;

  constructor({ config, clock, log, file }: DelayOffsetTableOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.#json(this.#settled), clock, log);
  }

  load(): LoadReport | undefined {
    const report = this.#file?.load((content, omissions) => this.#take(content, omissions));
    this.#settled = this.snapshot();
    return report;
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    this.dataVersion = savedDataVersion(content, omissions) ?? this.dataVersion;
    const table = savedTable(content, "offsetTable", omissions);
    for (const [key, value] of table) {
      try {
        const level = asInt(typeof key === "object" ? null : key, "a delay level");
        const offset = asLong(value, "an offset");
        if (level > 0 && offset >= 0) this.#offsets.set(level, offset);
        else omissions.drop(`offset ${offset} of delay level ${level}`);
      } catch (error) {
        omissions.drop("an offset of a delay level", error);
      }
    }
  }

  /** Undefined for a level that nothing was ever delivered of. */
  get(level: number): number | undefined {
    return this.#offsets.get(level);
  }

  entries(): IterableIterator<[level: number, offset: number]> {
    return this.#offsets.entries();
  }

  set(level: number, offset: number): void {
    if (this.#offsets.get(level) === offset) return;
    this.#offsets.set(level, offset);
    this.#changed = true;
    if (++this.#updateCount % this.#config.delayOffsetUpdateVersionStep === 0) {
      this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
    }
  }

  /** Whether an offset was set since the last `settle`. */
  get changed(): boolean {
    return this.#changed;
  }

  snapshot(): DelayOffsets {
    return new Map(this.#offsets);
  }

  /** What was delivered when `offsets` was taken is on the disk now: the file may say so. */
  settle(offsets: DelayOffsets): void {
    this.#settled = offsets;
    this.#changed = [...this.#offsets].some(([level, offset]) => offsets.get(level) !== offset);
    this.saver.markDirty();
  }

  toJson(): FastjsonInput {
    return this.#json(this.#offsets);
  }

  /** Levels in their order, as Apache's hash map has small integers. */
  #json(offsets: DelayOffsets): FastjsonInput {
    const offsetTable = new Map([...offsets].sort(([a], [b]) => a - b));
    return { dataVersion: dataVersionJson(this.dataVersion), offsetTable };
  }
}
