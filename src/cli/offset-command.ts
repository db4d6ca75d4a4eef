/** `cometmq offset reset`: where a group goes on. */
import { type Command, InvalidArgumentError } from "commander";
import { systemClock } from "../base/clock.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import type { Cluster, QueueEntry } from "./remote/cluster.js";
import { commitOffset, committedOffset, maxOffset, minOffset, offsetAtTime } from "./remote/queue-reader.js";
import { onCluster, type Remote, remoteVerb, timeOf, verbGroup, wholeNumber } from "./remote/remote-verb.js";

/** A place in a queue: its ends, an offset, or the first message of a time. */
export type Place = "first" | "end" | { readonly offset: number } | { readonly time: number };

export const PLACE_TEXT =
  "first, end, an offset, or a time: 2026-01-31T12:00Z, ms since 1970, or 10m for ten minutes ago";

interface ResetFlags {
  readonly to: Place;
  readonly queue?: number;
  readonly dryRun?: boolean;
}

export function addOffsetCommand(program: Command): void {
  const offset = verbGroup(program, "offset", "where groups are in their queues");
  const reset = remoteVerb(offset, "reset <group> <topic>", "let a group go on from another place")
    .requiredOption("--to <place>", PLACE_TEXT, parsePlace)
    .option("--queue <id>", "of this queue only", wholeNumber)
    .option("--dry-run", "only show what would change");
  onCluster(reset, resetOffsets);
}

export function parsePlace(text: string): Place {
  if (text === "first" || text === "end") return text;
  if (/^\d{1,11}$/.test(text)) return { offset: Number(text) };
  const time = timeOf(text, systemClock.nowMs());
  if (time === undefined) throw new InvalidArgumentError(`A place is ${PLACE_TEXT}.`);
  return { time };
}

/** Within what the queue has. */
export async function offsetOfPlace(cluster: Cluster, queue: QueueEntry, place: Place): Promise<number> {
  if (place === "first") return minOffset(cluster, queue);
  const max = await maxOffset(cluster, queue);
  if (place === "end") return max;
  if ("time" in place) return Math.min(max, await offsetAtTime(cluster, queue, place.time));
  return Math.min(max, Math.max(await minOffset(cluster, queue), place.offset));
}

async function resetOffsets(remote: Remote<ResetFlags>, group: string, topic: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const rows = [];
  for (const queue of await cluster.readQueues(topic, flags.queue)) {
    const { brokerName, queueId } = queue;
    const from = await committedOffset(cluster, group, queue);
    const to = await offsetOfPlace(cluster, queue, flags.to);
    if (flags.dryRun !== true) await resetQueue(cluster, group, queue, to, flags.to);
    rows.push({ topic, brokerName, queueId, from: from ?? null, to });
  }
  await remote.rows(rows, [
    { head: "broker", cell: ({ brokerName }) => brokerName },
    { head: "queue", align: "right", cell: ({ queueId }) => queueId },
    { head: "from", align: "right", cell: ({ from }) => from ?? "-" },
    { head: "to", align: "right", cell: ({ to }) => to },
  ]);
  return undefined;
}

/** The broker does it and tells the members; one that can not takes the offset as if the group had committed it. */
async function resetQueue(
  cluster: Cluster,
  group: string,
  queue: QueueEntry,
  offset: number,
  place: Place,
): Promise<void> {
  const { address, topic, queueId } = queue;
  const timestamp = typeof place === "object" && "time" in place ? place.time : place === "first" ? 0 : -1;
  const fields = { topic, group, timestamp, isForce: true, queueId, offset };
  const answer = await cluster.call(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, fields);
  if (answer.code !== ResponseCode.SUCCESS) await commitOffset(cluster, group, queue, offset);
}
