/** The topic and the groups of a wire benchmark: made where there are none, and what was made for it alone is deleted. */
import { setTimeout as wait } from "node:timers/promises";
import { CometError } from "../../base/errors.js";
import { RequestCode } from "../../remoting/codes.js";
import { readSubscriptionGroupConfig } from "../../server/broker/subscription-group-config.js";
import { PERM_READ, PERM_WRITE } from "../../server/protocol/topic-config.js";
import type { BrokerEntry, Cluster, QueueEntry } from "../remote/cluster.js";
import { putGroup } from "../remote/groups.js";
import { dropTopic, putTopic, queueStats } from "../remote/topics.js";

const ROUTE_WAIT_MS = 10_000;
const POLL_MS = 50;

/** Where a queue ends. */
export type MaxOffsets = ReadonlyMap<string, number>;

export class BenchTopic {
  readonly topic: string;
  /** By name. */
  readonly brokers: readonly BrokerEntry[];
  readonly queues: readonly QueueEntry[];
  readonly #cluster: Cluster;
  readonly #isOurs: boolean;
  readonly #groups: readonly string[];

  private constructor(
    cluster: Cluster,
    queues: readonly QueueEntry[],
    brokers: readonly BrokerEntry[],
    groups: readonly string[],
    isOurs: boolean,
  ) {
    this.#cluster = cluster;
    this.topic = queues[0]!.topic;
    this.queues = queues;
    const names = new Set(queues.map(({ brokerName }) => brokerName));
    this.brokers = brokers.filter(({ brokerName }) => names.has(brokerName));
    this.#groups = groups;
    this.#isOurs = isOurs;
  }

  /**
   * Without a name it is a topic of its own, which `drop` deletes; a named one is made where there is none, and stays.
   * Groups are always of its own.
   */
  static async open(
    cluster: Cluster,
    { topic: given, queues, run, groups }: { topic: string | undefined; queues: number; run: number; groups: string[] },
  ): Promise<BenchTopic> {
    const topic = given ?? `cometmq-bench-${run.toString(16).padStart(8, "0")}`;
    const brokers = await cluster.brokers();
    try {
      if ((await cluster.findRoute(topic)) === undefined) {
        for (const { address } of brokers) await makeTopic(cluster, address, topic, queues);
      }
      for (const group of groups) {
        const config = readSubscriptionGroupConfig(new Map(), group);
        for (const { address } of brokers) await putGroup(cluster, address, config);
      }
      await routed(cluster, topic);
      return new BenchTopic(cluster, await cluster.writeQueues(topic), brokers, groups, given === undefined);
    } catch (error) {
      // Why it could not be made is what matters, also where it cannot be deleted.
      await deleteAll(cluster, brokers, groups, given === undefined ? topic : undefined).catch(() => undefined);
      throw error;
    }
  }

  async maxOffsets(): Promise<MaxOffsets> {
    const offsets = new Map<string, number>();
    for (const { address } of this.brokers) {
      for (const { brokerName, queueId, maxOffset } of await queueStats(this.#cluster, address, this.topic)) {
        offsets.set(queueKey({ brokerName, queueId }), maxOffset);
      }
    }
    return offsets;
  }

  /** Tries all of it; throws the first error. */
  drop(): Promise<void> {
    return deleteAll(this.#cluster, this.brokers, this.#groups, this.#isOurs ? this.topic : undefined);
  }
}

async function deleteAll(
  cluster: Cluster,
  brokers: readonly BrokerEntry[],
  groups: readonly string[],
  topic: string | undefined,
): Promise<void> {
  let failure: unknown;
  const attempt = async (deed: () => Promise<unknown>): Promise<void> => {
    await deed().catch((error: unknown) => {
      failure ??= error;
    });
  };
  for (const groupName of groups) {
    for (const { address } of brokers) {
      const fields = { groupName, cleanOffset: true };
      await attempt(() => cluster.ask(address, RequestCode.DELETE_SUBSCRIPTIONGROUP, fields));
    }
  }
  if (topic !== undefined) await attempt(() => dropTopic(cluster, topic));
  if (failure !== undefined) throw failure;
}

export function queueKey({ brokerName, queueId }: { brokerName: string; queueId: number }): string {
  return `${brokerName} ${queueId}`;
}

async function makeTopic(cluster: Cluster, address: string, topicName: string, queues: number): Promise<void> {
  const config = {
    topicName,
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: PERM_READ | PERM_WRITE,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
  } as const;
  await putTopic(cluster, address, config, new Map());
}

/** Brokers tell name servers of a new topic in their own time. */
async function routed(cluster: Cluster, topic: string): Promise<void> {
  const endMs = performance.now() + ROUTE_WAIT_MS;
  while ((await cluster.findRoute(topic)) === undefined) {
    if (performance.now() > endMs) {
      const hint = `${topic} was made, but ${cluster.namesrvs.join(";")} has no route to it after ${ROUTE_WAIT_MS / 1000} s.`;
      throw new CometError("COMETMQ_NOT_FOUND", hint);
    }
    await wait(POLL_MS);
  }
}
