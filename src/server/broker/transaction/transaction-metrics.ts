/**
 * How many transactions of each topic wait for their end (broker/transaction/TransactionMetrics.java), saved as
 * `config/transactionMetrics`. As with Apache it is an estimate that nothing depends on: what was counted since the last
 * save is lost when the broker is killed.
 */
import type { Clock } from "../../../base/clock.js";
import type { Logger } from "../../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion, readDataVersion } from "../../protocol/data-version.js";
import { asKey, asMap, longMember, mapMember } from "../../protocol/members.js";
import { ConfigSaver } from "../config-saver.js";
import type { JsonConfigFile, LoadReport, Omissions } from "../json-config-file.js";
import { isSafeName } from "../names.js";

interface Metric {
  count: number;
  timeStamp: number;
}

export class TransactionMetrics {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  readonly #file: JsonConfigFile | undefined;
  readonly #topics = new Map<string, Metric>();

  constructor(clock: Clock, log: Logger, file: JsonConfigFile | undefined) {
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.#toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    try {
      this.dataVersion = readDataVersion(mapMember(content, "dataVersion"));
      for (const [key, value] of mapMember(content, "transactionCount") ?? []) {
        const topic = asKey(key, "transactionCount");
        const metric = asMap(value, topic);
        if (!isSafeName(topic)) omissions.drop(`the count of ${topic}`);
        else
          this.#topics.set(topic, {
            count: longMember(metric, "count", 0),
            timeStamp: longMember(metric, "timeStamp", 0),
          });
      }
    } catch (error) {
      omissions.drop("a count", error);
    }
  }

  /** `topic` is one that exists, which bounds the table; `nowMs` is the time of what is counted. */
  add(topic: string, change: 1 | -1, nowMs: number): void {
    let metric = this.#topics.get(topic);
    if (metric === undefined) {
      metric = { count: 0, timeStamp: 0 };
      this.#topics.set(topic, metric);
    }
    metric.count += change;
    metric.timeStamp = nowMs;
    this.dataVersion = nextDataVersion(this.dataVersion, nowMs);
    this.saver.markDirty();
  }

  /** What a topic's transactions that have not ended are thought to be. */
  count(topic: string): number {
    return this.#topics.get(topic)?.count ?? 0;
  }

  entries(): IterableIterator<[topic: string, metric: Readonly<Metric>]> {
    return this.#topics.entries();
  }

  /** Leaves out topics that are gone. */
  retain(exists: (topic: string) => boolean): void {
    for (const topic of this.#topics.keys()) if (!exists(topic)) this.#topics.delete(topic);
  }

  #toJson(): FastjsonInput {
    const transactionCount = new Map([...this.#topics].map(([topic, metric]) => [topic, { ...metric }]));
    return { dataVersion: dataVersionJson(this.dataVersion), transactionCount };
  }
}
