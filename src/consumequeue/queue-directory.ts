/**
 * Where queues lie: ROOT/TOPIC/QUEUEID/, ROOT being one of three directories of a store. Topics come from the wire and from records, so this is the one place where a topic becomes a path.
 */
import { CometError } from "../base/errors.js";
import { shown } from "../base/given-values.js";
import type { Disk } from "../io/disk.js";

/** The roots, below a store's directory. */
export const QUEUE_DIRECTORY_NAME = "consumequeue";
export const BATCH_QUEUE_DIRECTORY_NAME = "batchconsumequeue";
export const EXT_QUEUE_DIRECTORY_NAME = "consumequeue_ext";

const QUEUE_ID = /^(?:0|[1-9]\d{0,9})$/;
const QUEUE_ID_MAX = 2 ** 31 - 1;
/** What a file name may have on the usual file systems. */
const NAME_BYTES_MAX = 255;

export interface QueueLocation {
  readonly topic: string;
  readonly queueId: number;
  readonly directory: string;
}

export interface QueueListing {
  readonly queues: QueueLocation[];
  /** Paths that are no queue of ours. They are left alone. */
  readonly unknown: string[];
}

/** Half of a surrogate pair, alone. */
const HALF_PAIR = /\p{Surrogate}/u;

/** True when a directory may be called so: one path step that leads nowhere else. */
export function isDirectoryName(name: string): boolean {
  if (name === "" || name === "." || name === ".." || Buffer.byteLength(name) > NAME_BYTES_MAX) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < 32 || code === 127 || code === 47 || code === 92) return false;
  }
  // UTF-8 has none: the queue would be found under another name, or not at all.
  return !HALF_PAIR.test(name);
}

/** Why no queue can be called so, by the argument that is wrong; undefined where one can. */
export function queueNameProblem(topic: string, queueId: number): string | undefined {
  if (typeof topic !== "string" || !isDirectoryName(topic)) {
    return `topic: ${shown(topic)} cannot name a directory: 1 to ${NAME_BYTES_MAX} bytes are needed, without / and \\.`;
  }
  if (Number.isInteger(queueId) && queueId >= 0 && queueId <= QUEUE_ID_MAX) return undefined;
  return `queueId: ${shown(queueId)} is no whole number from 0 to ${QUEUE_ID_MAX}.`;
}

/** The directory of a queue whose name comes from the disk; COMETMQ_STORE_CORRUPT when the names would lead elsewhere. */
export function queueDirectory(root: string, topic: string, queueId: number): string {
  const problem = queueNameProblem(topic, queueId);
  if (problem !== undefined) throw new CometError("COMETMQ_STORE_CORRUPT", `Under ${root}: ${problem}`);
  return `${root}/${topic}/${queueId}`;
}

/** The queues of one topic that have a directory. `topic` is a directory's name. */
export function listQueuesOf(disk: Disk, root: string, topic: string): QueueLocation[] {
  const queues: QueueLocation[] = [];
  listTopic(disk, root, topic, queues, []);
  return queues;
}

function listTopic(disk: Disk, root: string, topic: string, queues: QueueLocation[], unknown: string[]): void {
  for (const name of disk.list(`${root}/${topic}`)) {
    const directory = `${root}/${topic}/${name}`;
    const isQueue = QUEUE_ID.test(name) && Number(name) <= QUEUE_ID_MAX && disk.isDirectory(directory);
    if (isQueue) queues.push({ topic, queueId: Number(name), directory });
    else unknown.push(directory);
  }
}

/** The queues that have a directory, by topic and number; the files in them are not looked at. */
export function listQueues(disk: Disk, root: string): QueueListing {
  const queues: QueueLocation[] = [];
  const unknown: string[] = [];
  for (const topic of disk.list(root)) {
    const topicDirectory = `${root}/${topic}`;
    if (!isDirectoryName(topic) || !disk.isDirectory(topicDirectory)) {
      unknown.push(topicDirectory);
      continue;
    }
    listTopic(disk, root, topic, queues, unknown);
  }
  queues.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.queueId - b.queueId));
  return { queues, unknown };
}
