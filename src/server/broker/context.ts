/** What every processor of a broker works on: configuration, clock, store and the tables, made and loaded in one place. */
import { join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { type Logger, silentLogger } from "../../base/log.js";
import { FilterCache } from "../../filter/filter-cache.js";
import type { Disk } from "../../io/disk.js";
import type { Access } from "../auth/open-access.js";
import { RepeatLog } from "../repeat-log.js";
import { BrokerSettings, type ConfigReading } from "./broker-config.js";
import type { BrokerConfig } from "./broker-options.js";
import { BrokerStats } from "./broker-stats.js";
import { ConfigFile } from "./config-file.js";
import { ConsumerFilterTable } from "./consumer-filter.js";
import { ConsumerOffsetTable } from "./consumer-offset.js";
import { ConsumerTable } from "./consumer-table.js";
import { DelayOffsetTable } from "./delay-offset.js";
import { JsonConfigFile, type LoadReport } from "./json-config-file.js";
import { MessageRequestModeTable } from "./message-request-mode.js";
import { ProducerTable } from "./producer-table.js";
import { QueueLockTable } from "./queue-locks.js";
import { StaticTopicTable } from "./static-topics.js";
import type { StorePort } from "./store-port.js";
import { SubscriptionGroupTable } from "./subscription-group.js";
import { TimerMetrics } from "./timer/timer-metrics.js";
import { TopicTable } from "./topic-config.js";
import { TransactionMetrics } from "./transaction/transaction-metrics.js";

/** Compiles filter expressions other than tags; answers what is wrong with one, if anything. */
export type ExpressionChecker = (expressionType: string, expression: string) => string | undefined;

export interface BrokerContext {
  readonly settings: BrokerSettings;
  /** Where changed settings are kept, if anywhere. */
  readonly configFile: ConfigFile | undefined;
  /** The values of `settings`. */
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: StorePort;
  /** Users and what they may do; undefined where the configuration knows none. */
  readonly access: Access | undefined;
  readonly topics: TopicTable;
  readonly staticTopics: StaticTopicTable;
  readonly groups: SubscriptionGroupTable;
  readonly offsets: ConsumerOffsetTable;
  readonly delayOffsets: DelayOffsetTable;
  readonly transactionMetrics: TransactionMetrics;
  readonly timerMetrics: TimerMetrics;
  readonly requestModes: MessageRequestModeTable;
  readonly producers: ProducerTable;
  readonly consumers: ConsumerTable;
  readonly queueLocks: QueueLockTable;
  readonly stats: BrokerStats;
  /** Filters by expressions, compiled once. */
  readonly filters: FilterCache;
  readonly consumerFilters: ConsumerFilterTable;
  readonly checkExpression: ExpressionChecker;
  /** Where clients reach this broker, as it registers with name servers. */
  readonly brokerAddress: () => string;
}

export interface BrokerContextOptions {
  readonly reading: Pick<ConfigReading, "config"> & Partial<ConfigReading>;
  readonly store: StorePort;
  readonly access?: Access | undefined;
  /** Where `config/*.json` is kept, under `storePathRootDir`; without one the tables live in memory only. */
  readonly disk?: Disk | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
  readonly checkExpression?: ExpressionChecker | undefined;
  readonly brokerAddress?: (() => string) | undefined;
}

export interface OpenedBrokerContext {
  readonly context: BrokerContext;
  /** One for each file, also for those that are missing. */
  readonly reports: readonly LoadReport[];
}

/** Makes the tables and loads their files. Nothing on the disk changes; what was found is told, and logged. */
export function openBrokerContext(options: BrokerContextOptions): OpenedBrokerContext {
  const { reading, store, disk } = options;
  const { config } = reading;
  const clock = options.clock ?? systemClock;
  const log = new RepeatLog(options.log ?? silentLogger, clock);
  const fileNamed = (name: string) =>
    disk === undefined ? undefined : new JsonConfigFile(disk, join(config.storePathRootDir, "config", name));
  const topics = new TopicTable({ config, clock, log, file: fileNamed("topics.json") });
  const groups = new SubscriptionGroupTable({ config, clock, log, file: fileNamed("subscriptionGroup.json") });
  const offsets = new ConsumerOffsetTable({ config, clock, log, file: fileNamed("consumerOffset.json") });
  const delayOffsets = new DelayOffsetTable({ config, clock, log, file: fileNamed("delayOffset.json") });
  const requestModes = new MessageRequestModeTable({ clock, log, file: fileNamed("messageRequestMode.json") });
  const staticTopics = new StaticTopicTable({ config, clock, log, file: fileNamed("topicQueueMapping.json") });
  const transactionMetrics = new TransactionMetrics(clock, log, fileNamed("transactionMetrics"));
  const timerMetrics = new TimerMetrics(clock, log, fileNamed("timermetrics"));
  const filters = new FilterCache();
  const filterFile = fileNamed("consumerFilter.json");
  const consumerFilters = new ConsumerFilterTable({ config, filters, clock, log, file: filterFile });
  const queueLocks = new QueueLockTable({ clock, log, file: fileNamed("queueLocks.json") });
  const tables = [
    topics,
    groups,
    offsets,
    requestModes,
    staticTopics,
    queueLocks,
    transactionMetrics,
    timerMetrics,
    delayOffsets,
    consumerFilters,
  ];
  const loads = tables.map((table) => table.load());
  const reports = loads.filter((report) => report !== undefined);
  for (const report of reports) logLoadReport(log, report);
  const consumers = new ConsumerTable(config, clock, log);
  consumers.listeners.push({ groupGone: (group) => offsets.forgetRestarts(group) }, consumerFilters);
  const context: BrokerContext = {
    settings: new BrokerSettings(reading, clock),
    configFile: disk === undefined || reading.path === undefined ? undefined : new ConfigFile(disk, reading.path),
    config,
    clock,
    log,
    store,
    access: options.access,
    topics,
    staticTopics,
    groups,
    offsets,
    delayOffsets,
    transactionMetrics,
    timerMetrics,
    requestModes,
    producers: new ProducerTable(config, clock, log),
    consumers,
    queueLocks,
    stats: new BrokerStats(clock),
    filters,
    consumerFilters,
    checkExpression: options.checkExpression ?? ((type, expression) => expressionProblem(filters, type, expression)),
    brokerAddress: options.brokerAddress ?? (() => `${config.brokerIP1 || config.bindAddress}:${config.listenPort}`),
  };
  return { context, reports };
}

function expressionProblem(filters: FilterCache, type: string, expression: string): string | undefined {
  try {
    filters.get(type, expression);
    return undefined;
  } catch (error) {
    if (error instanceof CometError) return error.message;
    throw error;
  }
}

export function logLoadReport(log: Logger, report: LoadReport): void {
  const fields = { ...report };
  if (report.outcome === "lost") log.error(fields, "a configuration file can not be read, its table has the defaults");
  else if (report.outcome === "recovered") log.warn(fields, "a configuration file was recovered from its backup");
  else if (report.problems.length > 0) log.warn(fields, "parts of a configuration file were left out");
}
