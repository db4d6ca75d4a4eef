/** `cometmq topic …`: topics of a cluster. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { MESSAGE_TYPE_ATTRIBUTE } from "../server/broker/attributes.js";
import { PERM_READ, PERM_WRITE, type TopicConfig } from "../server/protocol/topic-config.js";
import { isoTime } from "./remote/message-text.js";
import { onCluster, positiveInt, type Remote, remoteVerb, type Shown, verbGroup } from "./remote/remote-verb.js";
import {
  dropTopic,
  groupsOf,
  isSystemTopic,
  permText,
  putTopic,
  queueStats,
  topicConfig,
  topicsOf,
} from "./remote/topics.js";
import type { ExitCode } from "./store-run.js";
import { formatTime } from "./table.js";

const TYPES = ["NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "MIXED"] as const;
const QUEUES = 8;

interface ListFlags {
  readonly all?: boolean;
}

interface ChangeFlags {
  readonly queues?: number;
  readonly readQueues?: number;
  readonly writeQueues?: number;
  readonly perm?: number;
  readonly type?: (typeof TYPES)[number];
  readonly order?: boolean;
  readonly cluster?: string;
  readonly broker?: string;
}

export function addTopicCommand(program: Command): void {
  const topic = verbGroup(program, "topic", "list, make, change and delete topics");
  const list = remoteVerb(topic, "list", "topics and their queues").option("--all", "those of brokers and groups, too");
  onCluster(list, listTopics);
  onCluster(remoteVerb(topic, "describe <topic>", "one topic: queues, offsets, groups"), describeTopic);
  const create = remoteVerb(topic, "create <topic>", "make a topic on every broker, or on those named");
  onCluster(changeFlags(create, `${QUEUES}`), createTopic);
  const update = remoteVerb(topic, "update <topic>", "change a topic: what is not named stays as it is");
  onCluster(changeFlags(update), updateTopic);
  onCluster(remoteVerb(topic, "delete <topic>", "delete a topic and its messages, everywhere"), deleteTopic);
}

function changeFlags(verb: Command, queues?: string): Command {
  const initial = queues === undefined ? "" : ` (default: ${queues})`;
  return verb
    .option("--queues <n>", `queues for reading and writing${initial}`, positiveInt)
    .option("--read-queues <n>", "queues for reading", positiveInt)
    .option("--write-queues <n>", "queues for writing", positiveInt)
    .option("--perm <perm>", "rw, r or w", parsePerm)
    .addOption(new Option("--type <type>", "what messages it takes from RocketMQ 5 clients").choices(TYPES))
    .option("--order", "named as ordered to clients of RocketMQ 4")
    .option("--cluster <name>", "on the brokers of this cluster only")
    .option("--broker <name>", "on this broker only: its name, or host:port");
}

function parsePerm(text: string): number {
  if (!/^(r?w?|-)$/.test(text) || text === "") throw new InvalidArgumentError("A permission is rw, r or w.");
  return (text.includes("r") ? PERM_READ : 0) | (text.includes("w") ? PERM_WRITE : 0);
}

interface TopicRow {
  readonly topic: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  readonly perm: string;
  readonly type: string;
  readonly brokers: readonly string[];
}

const TOPIC_COLUMNS: readonly Shown<TopicRow>[] = [
  { head: "topic", cell: ({ topic }) => topic },
  { head: "read queues", align: "right", cell: ({ readQueueNums }) => readQueueNums },
  { head: "write queues", align: "right", cell: ({ writeQueueNums }) => writeQueueNums },
  { head: "perm", cell: ({ perm }) => perm },
  { head: "type", cell: ({ type }) => type },
  { head: "brokers", cell: ({ brokers }) => brokers.join(" ") },
];

const typeOf = ({ attributes }: TopicConfig): string => attributes.get(MESSAGE_TYPE_ATTRIBUTE) ?? "";

async function listTopics(remote: Remote<ListFlags>): Promise<undefined> {
  const { cluster, flags } = remote;
  const brokers = await cluster.brokers();
  const rows = new Map<
    string,
    { config: TopicConfig; readQueueNums: number; writeQueueNums: number; brokers: string[] }
  >();
  for (const broker of brokers) {
    for (const [name, config] of await topicsOf(cluster, broker)) {
      if (flags.all !== true && isSystemTopic(name, brokers)) continue;
      const row = rows.get(name) ?? { config, readQueueNums: 0, writeQueueNums: 0, brokers: [] };
      row.readQueueNums += config.readQueueNums;
      row.writeQueueNums += config.writeQueueNums;
      row.brokers.push(broker.brokerName);
      rows.set(name, row);
    }
  }
  const shown = [...rows].map(([topic, { config, ...row }]): TopicRow => {
    return { topic, ...row, perm: permText(config.perm), type: typeOf(config) };
  });
  await remote.rows(
    shown.sort((a, b) => (a.topic < b.topic ? -1 : 1)),
    TOPIC_COLUMNS,
  );
  return undefined;
}

async function describeTopic(remote: Remote<object>, topic: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const route = await cluster.route(topic);
  const names = new Set(route.queueDatas.map(({ brokerName }) => brokerName));
  const brokers = (await cluster.brokers()).filter(({ brokerName }) => names.has(brokerName));
  const queues = [];
  const groups = new Set<string>();
  let config: TopicConfig | undefined;
  for (const { address } of brokers) {
    config = await topicConfig(cluster, address, topic);
    queues.push(...(await queueStats(cluster, address, topic)));
    for (const group of await groupsOf(cluster, address, topic)) groups.add(group);
  }
  const about = {
    topic,
    perm: permText(config?.perm ?? 0),
    type: config === undefined ? "" : typeOf(config),
    attributes: Object.fromEntries(config?.attributes ?? []),
    messages: queues.reduce((sum, { minOffset, maxOffset }) => sum + maxOffset - minOffset, 0),
    groups: [...groups].sort(),
  };
  const rows = queues.map(({ lastUpdateTimestamp, ...queue }) => ({
    ...queue,
    lastStored: lastUpdateTimestamp > 0 ? isoTime(lastUpdateTimestamp) : "",
  }));
  if (flags.json) {
    await remote.line({ ...about, queues: rows });
    return undefined;
  }
  await remote.pairs({ ...about, attributes: undefined, groups: about.groups.join(" ") });
  await remote.say("");
  await remote.rows(rows, [
    { head: "broker", cell: ({ brokerName }) => brokerName },
    { head: "queue", align: "right", cell: ({ queueId }) => queueId },
    { head: "min", align: "right", cell: ({ minOffset }) => minOffset },
    { head: "max", align: "right", cell: ({ maxOffset }) => maxOffset },
    { head: "last stored", cell: ({ lastStored }) => formatTime(Date.parse(lastStored)) },
  ]);
  return undefined;
}

function changed(config: Omit<TopicConfig, "attributes">, flags: ChangeFlags): Omit<TopicConfig, "attributes"> {
  return {
    ...config,
    readQueueNums: flags.readQueues ?? flags.queues ?? config.readQueueNums,
    writeQueueNums: flags.writeQueues ?? flags.queues ?? config.writeQueueNums,
    perm: flags.perm ?? config.perm,
    order: flags.order ?? config.order,
  };
}

const attributesOf = ({ type }: ChangeFlags): ReadonlyMap<string, string> =>
  new Map(type === undefined ? [] : [[`+${MESSAGE_TYPE_ATTRIBUTE}`, type]]);

async function createTopic(remote: Remote<ChangeFlags>, topic: string): Promise<ExitCode | undefined> {
  const { cluster, flags } = remote;
  const known = await cluster.findRoute(topic);
  for (const { address, brokerName } of await cluster.brokers(flags)) {
    if (known?.queueDatas.some((queue) => queue.brokerName === brokerName)) {
      return remote.refuse(`${topic} exists already on ${brokerName}: cometmq topic update changes it.`);
    }
    const initial = {
      topicName: topic,
      readQueueNums: QUEUES,
      writeQueueNums: QUEUES,
      perm: PERM_READ | PERM_WRITE,
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: 0,
      order: false,
    } as const;
    const config = changed(initial, flags);
    await putTopic(cluster, address, config, attributesOf(flags));
    await done(remote, "created", brokerName, config);
  }
  return undefined;
}

async function updateTopic(remote: Remote<ChangeFlags>, topic: string): Promise<ExitCode | undefined> {
  const { cluster, flags } = remote;
  const { queueDatas } = await cluster.route(topic);
  for (const { address, brokerName } of await cluster.brokers(flags)) {
    if (!address.startsWith(brokerName) && !queueDatas.some((queue) => queue.brokerName === brokerName)) continue;
    const config = changed(await topicConfig(cluster, address, topic), flags);
    await putTopic(cluster, address, config, attributesOf(flags));
    await done(remote, "changed", brokerName, config);
  }
  return undefined;
}

async function done(
  remote: Remote<ChangeFlags>,
  deed: string,
  brokerName: string,
  { topicName, readQueueNums, writeQueueNums, perm }: Omit<TopicConfig, "attributes">,
): Promise<void> {
  const row = { topic: topicName, brokerName, readQueueNums, writeQueueNums, perm: permText(perm) };
  if (remote.flags.json) await remote.line(row);
  else await remote.say(`${topicName} ${deed} on ${brokerName}: ${readQueueNums} read, ${writeQueueNums} write queues`);
}

async function deleteTopic(remote: Remote<object>, topic: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const names = await dropTopic(cluster, topic);
  if (flags.json) await remote.line({ topic, deletedOn: names });
  else await remote.say(`${topic} deleted on ${names.join(", ")}`);
  return undefined;
}
