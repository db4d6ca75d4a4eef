/**
 * Topics whose queues are batch consume queues: the store's own configuration says so, in `config/topics.json`, with the
 * attribute `queue.type` = `BatchCQ` (common/utils/QueueTypeUtils). The file is the broker's; what cannot be read in it
 * tells nothing.
 */
import type { Disk } from "../io/disk.js";

const TOPICS_BYTES_MAX = 256 * 1024 * 1024;
const ATTRIBUTE = "queue.type";
const BATCH = "BatchCQ";

export function readBatchTopics(disk: Disk, path: string): ReadonlySet<string> {
  const topics = new Set<string>();
  if (disk.sizeOf(path) > TOPICS_BYTES_MAX) return topics;
  for (const [topic, settings] of membersOf(membersIn(disk.readFile(path)).get("topicConfigTable"))) {
    const type = membersOf(membersOf(settings).get("attributes")).get(ATTRIBUTE);
    if (type === BATCH) topics.add(topic);
  }
  return topics;
}

function membersIn(json: Buffer | undefined): ReadonlyMap<string, unknown> {
  if (json === undefined) return new Map();
  try {
    return membersOf(JSON.parse(json.toString("utf8")));
  } catch {
    return new Map();
  }
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> {
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : new Map();
}
