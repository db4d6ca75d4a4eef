/** `cometmq timer …`: messages that wait for their time. */
import type { Command } from "commander";
import { encodeProperties } from "../record/properties.js";
import { RequestCode } from "../remoting/codes.js";
import { TIMER_TOPIC } from "../server/broker/default-topics.js";
import { formatRecallHandle, parseRecallHandle } from "../server/broker/timer/recall-handle.js";
import { TimerProperties } from "../server/broker/timer/timer-properties.js";
import { asKey, asMap, longMember, mapMember } from "../server/protocol/members.js";
import type { Cluster } from "./remote/cluster.js";
import { isoTime } from "./remote/message-text.js";
import { maxOffset, minOffset, type QueueRange, readRanges } from "./remote/queue-reader.js";
import { onCluster, positiveNumber, type Remote, remoteVerb, verbGroup } from "./remote/remote-verb.js";
import { formatTime } from "./table.js";

const COUNT = 32;
/** Of the wheel, where nobody has set another. It only tells how exact the time is. */
const APACHE_PRECISION_MS = 1000;

interface ListFlags {
  readonly count: number;
}

export function addTimerCommand(program: Command): void {
  const timer = verbGroup(program, "timer", "messages that wait for their time");
  const list = remoteVerb(timer, "list [topic]", "how many wait for each topic, or which wait for this one").option(
    "--count <n>",
    "at most so many, those due first",
    positiveNumber,
    COUNT,
  );
  onCluster(list, (remote: Remote<ListFlags>, topic?: string) =>
    topic === undefined ? countTimers(remote) : listTimers(remote, topic),
  );
  const cancel = remoteVerb(
    timer,
    "cancel <topic> <handle>",
    "take one back, by the recall handle its producer was told",
  );
  onCluster(cancel, cancelTimer);
}

async function countTimers(remote: Remote<object>): Promise<undefined> {
  const rows = [];
  for (const { address, brokerName } of await remote.cluster.brokers()) {
    const body = await remote.cluster.askJson(address, RequestCode.GET_TIMER_METRICS);
    for (const [key, value] of mapMember(body, "timingCount") ?? []) {
      const metric = asMap(value, "timingCount");
      const changedMs = longMember(metric, "timeStamp", 0);
      const topic = asKey(key, "timingCount");
      rows.push({ topic, brokerName, count: longMember(metric, "count", 0), lastChange: isoTime(changedMs) });
    }
  }
  await remote.rows(rows, [
    { head: "topic", cell: ({ topic }) => topic },
    { head: "broker", cell: ({ brokerName }) => brokerName },
    { head: "waiting", align: "right", cell: ({ count }) => count },
    { head: "last change", cell: ({ lastChange }) => formatTime(Date.parse(lastChange)) },
  ]);
  return undefined;
}

interface WaitingTimer {
  readonly dueMs: number;
  readonly due: string;
  readonly msgId: string;
  readonly keys: string;
  readonly brokerName: string;
  readonly recallHandle: string;
}

/** Read from the topic that timers wait in, of which either broker's clients may read. */
async function listTimers(remote: Remote<ListFlags>, topic: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const waiting: WaitingTimer[] = [];
  for (const { address, brokerName } of await cluster.brokers()) {
    const queue = { topic: TIMER_TOPIC, queueId: 0, address, brokerName };
    const range = { queue, from: await minOffset(cluster, queue), to: await maxOffset(cluster, queue) };
    // By the broker's clock: how far it has delivered.
    const { body } = await cluster.ask(address, RequestCode.GET_TIMER_CHECK_POINT);
    const deliveredMs = body.length < 8 ? 0 : Number(Buffer.from(body).readBigInt64BE(0));
    waiting.push(...(await waitingIn(cluster, range, topic, deliveredMs)));
  }
  // Of a topic that was deleted some may wait yet.
  if (waiting.length === 0) await cluster.route(topic);
  waiting.sort((a, b) => a.dueMs - b.dueMs);
  const rows = waiting.slice(0, flags.count).map(({ dueMs: _, ...row }) => row);
  await remote.rows(rows, [
    { head: "due", cell: ({ due }) => formatTime(Date.parse(due)) },
    { head: "id", cell: ({ msgId }) => msgId },
    { head: "keys", cell: ({ keys }) => keys },
    { head: "broker", cell: ({ brokerName }) => brokerName },
    { head: "recall handle", cell: ({ recallHandle }) => recallHandle },
  ]);
  return undefined;
}

/** By unique key: one that was rolled stands there once more, one that was recalled is named by its recall. */
async function waitingIn(
  cluster: Cluster,
  range: QueueRange,
  topic: string,
  deliveredMs: number,
): Promise<Iterable<WaitingTimer>> {
  const { brokerName } = range.queue;
  const properties = new TimerProperties();
  const found = new Map<string, WaitingTimer>();
  const recalled = new Set<string>();
  for await (const { message } of readRanges(cluster, [range])) {
    const bytes = encodeProperties([...message.properties]);
    if (!properties.read(bytes, 0, bytes.length) || properties.realTopic !== topic) continue;
    if (properties.isDelete) {
      recalled.add(properties.recalledKey);
      continue;
    }
    const { uniqueKey: msgId, keys, outMs } = properties;
    const dueMs = properties.dueMs(message.storeTimestamp, APACHE_PRECISION_MS);
    if (dueMs <= deliveredMs) continue;
    const recallHandle = formatRecallHandle(topic, brokerName, outMs, msgId);
    found.set(properties.ownKey, { dueMs, due: isoTime(dueMs), msgId, keys, brokerName, recallHandle });
  }
  for (const key of recalled) found.delete(key);
  return found.values();
}

async function cancelTimer(remote: Remote<object>, topic: string, handle: string): Promise<undefined> {
  const { cluster } = remote;
  const queues = await cluster.writeQueues(topic);
  // The handle says which broker has the message; one that has it not refuses.
  const addresses = [...new Map(queues.map(({ brokerName, address }) => [brokerName, address]))];
  const named = parseRecallHandle(handle)?.brokerName;
  const [, address] = addresses.find(([name]) => name === named) ?? addresses[0]!;
  const fields = { producerGroup: "TOOLS_PRODUCER", topic, recallHandle: handle };
  const answer = await cluster.ask(address, RequestCode.RECALL_MESSAGE, fields);
  const msgId = answer.fields["msgId"] ?? "";
  if (remote.flags.json) await remote.line({ topic, msgId });
  else await remote.say(`${msgId} will not be delivered`);
  return undefined;
}
