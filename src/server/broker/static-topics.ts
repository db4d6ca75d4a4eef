/**
 * The static topics of this broker (broker/topic/TopicQueueMappingManager.java), saved as
 * `config/topicQueueMapping.json`. CometMQ has those whose queues are its own, one for one: then a queue's global id is
 * its id, and its offsets are its offsets. Topics that are spread over brokers, or were moved between queues, are refused.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion, readDataVersion } from "../protocol/data-version.js";
import { asMap, mapMember } from "../protocol/members.js";
import {
  mappingInfoOf,
  readTopicQueueMappingDetail,
  type TopicQueueMappingDetail,
  topicQueueMappingDetailJson,
} from "../protocol/topic-queue-mapping.js";
import type { TopicQueueMappingInfo } from "../protocol/topic-route-data.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import type { JsonConfigFile, LoadReport, Omissions } from "./json-config-file.js";
import { isSafeName } from "./names.js";

const SCOPE_GLOBAL = "__global__";

export interface StaticTopicTableOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
}

export class StaticTopicTable {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  readonly #topics = new Map<string, TopicQueueMappingDetail>();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: JsonConfigFile | undefined;

  constructor({ config, clock, log, file }: StaticTopicTableOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.#json(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    try {
      this.dataVersion = readDataVersion(mapMember(content, "dataVersion"));
      for (const value of (mapMember(content, "topicQueueMappingInfoMap") ?? new Map()).values()) {
        const detail = readTopicQueueMappingDetail(asMap(value, "topicQueueMappingInfoMap"));
        const problem = isSafeName(detail.topic) ? this.problemOf(detail) : "its name has illegal characters";
        if (problem === undefined) this.#topics.set(detail.topic, detail);
        else omissions.drop(`the static topic ${detail.topic} (${problem})`);
      }
    } catch (error) {
      omissions.drop("static topics", error);
    }
  }

  get(topic: string): TopicQueueMappingDetail | undefined {
    return this.#topics.get(topic);
  }

  /** Why this broker cannot have such a topic, if there is a reason. */
  problemOf(detail: TopicQueueMappingDetail): string | undefined {
    const { bname, hostedQueues, scope, totalQueues } = detail;
    const own = this.#config.brokerName;
    if (bname !== own) return `it is of the broker ${bname}`;
    if (scope !== SCOPE_GLOBAL) return `its scope is ${scope}`;
    if (totalQueues < 0 || totalQueues > this.#config.topicQueueCountMax) return `it has ${totalQueues} queues`;
    if (hostedQueues.size === 0) return undefined;
    const mapped = "CometMQ has static topics only whose queues are all on one broker, each under its own number";
    if (hostedQueues.size !== totalQueues) return mapped;
    for (const [globalId, items] of hostedQueues) {
      const [item] = items;
      const isItself = items.length === 1 && item!.bname === own && item!.queueId === globalId;
      if (!isItself || globalId < 0 || globalId >= totalQueues) return mapped;
      if (item!.logicOffset !== 0 || item!.startOffset !== 0 || item!.endOffset !== -1) return mapped;
    }
    return undefined;
  }

  /** Throws COMETMQ_BAD_REQUEST for one that `problemOf` minds, or that is older than what is known. */
  set(detail: TopicQueueMappingDetail, force: boolean): void {
    const problem = this.problemOf(detail);
    if (problem !== undefined) throw new CometError("COMETMQ_BAD_REQUEST", `${problem}.`);
    const known = this.#topics.get(detail.topic);
    if (known !== undefined && !force && detail.epoch < known.epoch) {
      const remark = `Can't accept data with small epoch ${detail.epoch} < ${known.epoch}.`;
      throw new CometError("COMETMQ_BAD_REQUEST", remark);
    }
    if (known !== undefined && detail.hostedQueues.size < known.hostedQueues.size) {
      throw new CometError("COMETMQ_BAD_REQUEST", "A static topic cannot lose queues.");
    }
    this.#topics.set(detail.topic, detail);
    this.#log.info({ topic: detail.topic, queues: detail.totalQueues, epoch: detail.epoch }, "static topic updated");
    this.#changed();
  }

  /** Undoes a `set` whose topic can not be made. */
  putBack(topic: string, before: TopicQueueMappingDetail | undefined): void {
    if (before === undefined) this.#topics.delete(topic);
    else this.#topics.set(topic, before);
    this.#changed();
  }

  delete(topic: string): void {
    if (this.#topics.delete(topic)) this.#changed();
  }

  #changed(): void {
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
    this.saver.markDirty();
  }

  /** Those of `names` by topic, as registrations carry them. */
  infos(names: Iterable<string> = this.#topics.keys()): Map<string, TopicQueueMappingInfo> {
    const infos = new Map<string, TopicQueueMappingInfo>();
    for (const name of names) {
      const detail = this.#topics.get(name);
      if (detail !== undefined) infos.set(name, mappingInfoOf(detail));
    }
    return infos;
  }

  /** By topic, as code 21 tells those of `names`. */
  detailsJson(names: Iterable<string>): Map<string, FastjsonInput> {
    const details = new Map<string, FastjsonInput>();
    if (this.#topics.size === 0) return details;
    for (const name of names) {
      const detail = this.#topics.get(name);
      if (detail !== undefined) details.set(name, topicQueueMappingDetailJson(detail));
    }
    return details;
  }

  #json(): FastjsonInput {
    const topicQueueMappingInfoMap = this.detailsJson(this.#topics.keys());
    return { dataVersion: dataVersionJson(this.dataVersion), topicQueueMappingInfoMap };
  }
}
