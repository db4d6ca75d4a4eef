/**
 * How many timers wait for each topic (store/timer/TimerMetrics.java), saved as `config/timermetrics`, and what else tools
 * ask about timers.
 */
import type { Clock } from "../../../base/clock.js";
import type { Logger } from "../../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion } from "../../protocol/data-version.js";
import { asLong } from "../../protocol/members.js";
import { ConfigSaver } from "../config-saver.js";
import {
  type JsonConfigFile,
  type LoadReport,
  type Omissions,
  savedDataVersion,
  savedTable,
} from "../json-config-file.js";

interface Metric {
  count: number;
  timeStamp: number;
}

/** The figures of a running broker; zeros where it has no timers. */
export interface TimerFigures {
  readonly readBehindMs: number;
  readonly offsetBehind: number;
  readonly congestCount: number;
  readonly enqueueTps: number;
  readonly dequeueTps: number;
}

export class TimerMetrics {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  /** Set by whoever runs the timers. */
  figures: () => TimerFigures = () => ({
    readBehindMs: 0,
    offsetBehind: 0,
    congestCount: 0,
    enqueueTps: 0,
    dequeueTps: 0,
  });
  /** The checkpoint as it goes over the wire; undefined where there are no timers. */
  checkpoint: () => Buffer | undefined = () => undefined;
  readonly #file: JsonConfigFile | undefined;
  readonly #counts = new Map<string, Metric>();

  constructor(clock: Clock, log: Logger, file: JsonConfigFile | undefined) {
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    this.dataVersion = savedDataVersion(content, omissions) ?? this.dataVersion;
    const counts = savedTable(content, "timingCount", omissions);
    for (const [topic, metric] of counts) {
      try {
        if (typeof topic !== "string" || !(metric instanceof Map)) throw new Error("no metric of a topic");
        const count = asLong(metric.get("count") ?? null, "a count");
        this.#counts.set(topic, { count, timeStamp: asLong(metric.get("timeStamp") ?? null, "a time") });
      } catch (error) {
        omissions.drop("a topic's count of timers", error);
      }
    }
  }

  countOf(topic: string): number {
    return this.#counts.get(topic)?.count ?? 0;
  }

  /** `nowMs` is when it changed. */
  add(topic: string, change: number, nowMs: number): void {
    let metric = this.#counts.get(topic);
    if (metric === undefined) {
      metric = { count: 0, timeStamp: nowMs };
      this.#counts.set(topic, metric);
    }
    metric.count += change;
    metric.timeStamp = nowMs;
    this.dataVersion = nextDataVersion(this.dataVersion, nowMs);
    this.saver.markDirty();
  }

  /** Topics that are gone and have nothing waiting do not stay in the table. */
  forgetGone(exists: (topic: string) => boolean): void {
    for (const [topic, { count }] of this.#counts) if (count <= 0 && !exists(topic)) this.#counts.delete(topic);
  }

  toJson(): FastjsonInput {
    const timingCount = new Map(
      [...this.#counts].map(([topic, { count, timeStamp }]) => [topic, { count, timeStamp }]),
    );
    return { dataVersion: dataVersionJson(this.dataVersion), timingCount };
  }
}
