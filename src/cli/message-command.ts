/** `cometmq message …`: messages by id, by key, by time. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { decodeRecords, type MessageExt } from "../record/decode.js";
import { parseMessageId } from "../record/message-id.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { offsetOfPlace, type Place, parsePlace } from "./offset-command.js";
import { type Cluster, refusedBy } from "./remote/cluster.js";
import { MESSAGE_COLUMNS, shownMessage } from "./remote/message-text.js";
import { readRanges } from "./remote/queue-reader.js";
import { onCluster, positiveNumber, type Remote, remoteVerb, verbGroup } from "./remote/remote-verb.js";

const COUNT = 32;
const TIME_MAX = Number.MAX_SAFE_INTEGER;

export function addMessageCommand(program: Command): void {
  const message = verbGroup(program, "message", "look messages up");
  const id = remoteVerb(message, "id <id>", "by the id that its producer was told, or that of its place").option(
    "--topic <topic>",
    "of this topic: needed for the producer's id",
  );
  onCluster(id, byId);
  const key = remoteVerb(message, "key <topic> <key>", "by a key").option(
    "--count <n>",
    "at most so many",
    positiveNumber,
    COUNT,
  );
  onCluster(key, byKey);
  const time = remoteVerb(message, "time <topic>", "by the time when it was stored")
    .requiredOption(
      "--from <place>",
      "a time: 2026-01-31T12:00Z, ms since 1970, or 10m for ten minutes ago",
      parsePlace,
    )
    .option("--to <place>", "another one, not included", parsePlace, "end")
    .option("--count <n>", "at most so many", positiveNumber, COUNT);
  onCluster(time, byTime);
}

async function query(
  cluster: Cluster,
  topic: string,
  key: string,
  isUnique: boolean,
  count: number,
): Promise<MessageExt[]> {
  const names = new Set((await cluster.route(topic)).queueDatas.map(({ brokerName }) => brokerName));
  const found: MessageExt[] = [];
  for (const { address, brokerName } of await cluster.brokers()) {
    if (!names.has(brokerName)) continue;
    const unique = isUnique ? { _UNIQUE_KEY_QUERY: "true" } : {};
    const fields = { topic, key, maxNum: count, beginTimestamp: 0, endTimestamp: TIME_MAX, ...unique };
    const answer = await cluster.call(address, RequestCode.QUERY_MESSAGE, fields);
    if (answer.code === ResponseCode.SUCCESS) found.push(...decodeRecords(answer.body));
    else if (answer.code !== ResponseCode.QUERY_NOT_FOUND) throw refusedBy(address, answer);
  }
  return found.sort((a, b) => a.storeTimestamp - b.storeTimestamp).slice(-count);
}

async function byId(remote: Remote<{ topic?: string }>, id: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const found = flags.topic === undefined ? [] : await query(cluster, flags.topic, id, true, COUNT);
  const messages = found.length > 0 ? found : await byPlace(cluster, id);
  if (messages.length === 0) {
    const hint = flags.topic === undefined ? " With --topic it is looked for among producers' ids, too." : "";
    throw new CometError("COMETMQ_NOT_FOUND", `There is no message ${id}.${hint}`);
  }
  for (const message of messages) {
    const shown = await shownMessage(message);
    if (remote.flags.json) await remote.line(shown);
    else await remote.pairs({ ...shown });
  }
  return undefined;
}

/** Only brokers of the cluster are asked: an id may name any address. */
async function byPlace(cluster: Cluster, id: string): Promise<MessageExt[]> {
  const place = parseMessageId(id);
  if (place === undefined) return [];
  const brokers = await cluster.brokers();
  const broker =
    brokers.find(({ address }) => address === place.storeHost) ?? (brokers.length === 1 ? brokers[0] : undefined);
  if (broker === undefined) return [];
  const answer = await cluster.call(broker.address, RequestCode.VIEW_MESSAGE_BY_ID, { offset: place.phyOffset });
  return answer.code === ResponseCode.SUCCESS ? decodeRecords(answer.body).filter(({ msgId }) => msgId === id) : [];
}

async function byKey(remote: Remote<{ count: number }>, topic: string, key: string): Promise<undefined> {
  const found = await query(remote.cluster, topic, key, false, remote.flags.count);
  if (found.length === 0) throw new CometError("COMETMQ_NOT_FOUND", `No message of ${topic} has the key ${key}.`);
  await remote.rows(await Promise.all(found.map(shownMessage)), MESSAGE_COLUMNS);
  return undefined;
}

interface TimeFlags {
  readonly from: Place;
  readonly to: Place;
  readonly count: number;
}

async function byTime(remote: Remote<TimeFlags>, topic: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const ranges = [];
  for (const queue of await cluster.readQueues(topic)) {
    const [from, to] = [await offsetOfPlace(cluster, queue, flags.from), await offsetOfPlace(cluster, queue, flags.to)];
    ranges.push({ queue, from, to });
  }
  const messages = [];
  for await (const { message } of readRanges(cluster, ranges)) {
    messages.push(await shownMessage(message));
    if (messages.length >= flags.count) break;
  }
  if (messages.length === 0) throw new CometError("COMETMQ_NOT_FOUND", `${topic} has no message of that time.`);
  await remote.rows(messages, MESSAGE_COLUMNS);
  return undefined;
}
