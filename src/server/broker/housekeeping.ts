/** What the broker does on its own, at intervals: saves tables, forgets silent clients, samples its counters. */
import type { Clock, Timer } from "../../base/clock.js";
import type { ConfigSaver } from "./config-saver.js";
import type { BrokerContext } from "./context.js";
import { SAMPLE_MS } from "./stats-item.js";

const SCAN_MS = 10_000;

export interface Housekeeping {
  /** Stops; resolves when what was not saved is. */
  close(): Promise<void>;
}

export function startHousekeeping(context: BrokerContext): Housekeeping {
  const { clock, config, topics, producers, consumers, queueLocks, stats } = context;
  const savers = saversOf(context);
  const stops = [
    repeat(
      clock,
      () => config.flushConsumerOffsetInterval,
      () => {
        for (const saver of savers) void saver.saveIfDirty();
      },
    ),
    repeat(
      clock,
      () => SCAN_MS,
      () => {
        producers.scan();
        consumers.scan();
        queueLocks.scan();
      },
    ),
    repeat(
      clock,
      () => SAMPLE_MS,
      () => stats.sample(topics.values()),
    ),
  ];
  stats.sample(topics.values());
  return {
    async close() {
      for (const stop of stops) stop();
      await closeSavers(context);
    },
  };
}

/** Saves what is not saved yet, for the last time. */
export async function closeSavers(context: BrokerContext): Promise<void> {
  await Promise.all([context.access?.close(), ...saversOf(context).map((saver) => saver.close())]);
}

function saversOf(context: BrokerContext): ConfigSaver[] {
  const { topics, staticTopics, groups, offsets } = context;
  const { requestModes, transactionMetrics, consumerFilters, queueLocks } = context;
  const tables = [topics, staticTopics, groups, offsets, requestModes, transactionMetrics, consumerFilters, queueLocks];
  return tables.map(({ saver }) => saver);
}

/** The interval is asked each time, so that a new value counts from the next round on. */
function repeat(clock: Clock, intervalMs: () => number, task: () => void): () => void {
  let timer: Timer;
  const round = () => {
    task();
    timer = clock.schedule(intervalMs(), round, true);
  };
  timer = clock.schedule(intervalMs(), round, true);
  return () => timer.cancel();
}
