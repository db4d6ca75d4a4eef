/** `cometmq dlq …`: dead letters of a group, and their way back. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { PropertyName } from "../record/property-names.js";
import { dlqTopic, retryTopic } from "../server/broker/names.js";
import type { Cluster, QueueEntry } from "./remote/cluster.js";
import { bodyOf, MESSAGE_COLUMNS, type ShownMessage, shownMessage } from "./remote/message-text.js";
import {
  commitOffset,
  committedOffset,
  maxOffset,
  minOffset,
  type QueueRange,
  readRanges,
} from "./remote/queue-reader.js";
import { onCluster, positiveNumber, type Remote, remoteVerb, verbGroup } from "./remote/remote-verb.js";
import { Sender } from "./remote/sender.js";

const COUNT = 32;

/** About the way to the dead letters: a message that goes back has none of it. */
const WAY_PROPERTIES: readonly string[] = [
  PropertyName.RETRY_TOPIC,
  PropertyName.ORIGIN_MESSAGE_ID,
  PropertyName.RECONSUME_TIME,
  PropertyName.MAX_RECONSUME_TIMES,
  PropertyName.DELAY_TIME_LEVEL,
  PropertyName.DLQ_ORIGIN_TOPIC,
  PropertyName.DLQ_ORIGIN_MESSAGE_ID,
  PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
  "REAL_TOPIC",
  "REAL_QID",
];

interface DlqFlags {
  readonly count?: number;
  readonly all?: boolean;
  readonly to?: string;
}

export function addDlqCommand(program: Command): void {
  const dlq = verbGroup(program, "dlq", "dead letters: what a group could not consume");
  const list = remoteVerb(dlq, "list <group>", "dead letters that were not sent again yet")
    .option("--count <n>", "at most so many", positiveNumber, COUNT)
    .option("--all", "those that were sent again, too");
  onCluster(list, listLetters);
  const redrive = remoteVerb(dlq, "redrive <group>", "send dead letters again, each once")
    .option(
      "--to <topic>",
      "to this topic, for all its groups (default: to this group alone, under the topic they had)",
    )
    .option("--count <n>", "at most so many", positiveNumber)
    .option("--all", "those that were sent again, too");
  onCluster(redrive, redriveLetters);
}

/**
 * The dead letters that are left. How far they were sent again is kept as the offset of the group in its dead-letter topic,
 * where nobody else keeps one.
 */
async function lettersOf(cluster: Cluster, group: string, isAll: boolean): Promise<QueueRange[]> {
  const topic = dlqTopic(group);
  if ((await cluster.findRoute(topic)) === undefined) {
    throw new CometError("COMETMQ_NOT_FOUND", `The group ${group} has no dead letters.`);
  }
  const ranges: QueueRange[] = [];
  for (const queue of await cluster.readQueues(topic)) {
    const min = await minOffset(cluster, queue);
    const passed = isAll ? undefined : await committedOffset(cluster, group, queue);
    ranges.push({ queue, from: Math.max(min, passed ?? min), to: await maxOffset(cluster, queue) });
  }
  return ranges;
}

interface Letter extends ShownMessage {
  readonly originTopic?: string;
}

async function listLetters(remote: Remote<DlqFlags>, group: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const letters: Letter[] = [];
  for await (const { message } of readRanges(cluster, await lettersOf(cluster, group, flags.all === true))) {
    const originTopic = originOf(message.properties);
    letters.push({ ...(await shownMessage(message)), ...(originTopic === undefined ? {} : { originTopic }) });
    if (letters.length >= (flags.count ?? COUNT)) break;
  }
  const columns = [{ head: "topic", cell: (letter: Letter) => letter.originTopic ?? "" }];
  await remote.rows(letters, [...columns, ...MESSAGE_COLUMNS]);
  return undefined;
}

function originOf(properties: ReadonlyMap<string, string>): string | undefined {
  return properties.get(PropertyName.DLQ_ORIGIN_TOPIC) ?? properties.get(PropertyName.RETRY_TOPIC);
}

async function redriveLetters(remote: Remote<DlqFlags>, group: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const ranges = await lettersOf(cluster, group, flags.all === true);
  const topic = flags.to ?? retryTopic(group);
  // A group that has no consumer any more has perhaps no retry topic: the first message makes it, with one queue.
  const beside = new Map(ranges.map(({ queue }) => [queue.brokerName, { ...queue, topic, queueId: 0 }]));
  const queuesOfNew = flags.to === undefined ? [...beside.values()] : undefined;
  const sender = await Sender.open(cluster, topic, { queuesOfNew });
  const passed = new Map<QueueEntry, number>();
  let count = 0;
  try {
    for await (const { queue, message } of readRanges(cluster, ranges)) {
      if (count >= (flags.count ?? Number.POSITIVE_INFINITY)) break;
      const origin = originOf(message.properties);
      const kept = [...message.properties].filter(([name]) => !WAY_PROPERTIES.includes(name));
      // Consumers of a retry topic know the message by the topic that it names.
      if (flags.to === undefined && origin !== undefined) kept.push([PropertyName.RETRY_TOPIC, origin]);
      const sent = await sender.send({ body: await bodyOf(message), properties: Object.fromEntries(kept) });
      passed.set(queue, message.queueOffset + 1);
      count++;
      if (flags.json) await remote.line({ ...sent, from: message.msgId, originTopic: origin });
    }
  } finally {
    for (const [queue, offset] of passed) await commitOffset(cluster, group, queue, offset);
  }
  await remote.say(
    `${count} ${count === 1 ? "message" : "messages"} sent again to ${flags.to ?? `the group ${group}`}`,
  );
  return undefined;
}
