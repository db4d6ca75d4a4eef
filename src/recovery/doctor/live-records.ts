/**
 * Tells records behind damage from those behind the log's end: after a cut, Apache leaves whole records on the disk. One
 * that is no older than what came before, or that its queue points at, is part of the log.
 */
import { isDirectoryName, queueDirectory } from "../../consumequeue/queue-directory.js";
import type { Disk } from "../../io/disk.js";
import type { LogWalk } from "./log-walk.js";
import { QueueReading, QueueUnits } from "./queue-units.js";
import type { StoreFacts } from "./store-facts.js";

/** For WalkOptions.isLive. */
export function liveRecords(disk: Disk, facts: StoreFacts): (walk: LogWalk) => boolean {
  return ({ record, bytes, lastStoreTimestamp }) => {
    if (record.storeTimestamp >= lastStoreTimestamp) return true;
    const topic = bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength);
    if (!isDirectoryName(topic) || record.queueId < 0) return false;
    const reading = new QueueReading(disk, facts.queueFileBytes);
    const directory = queueDirectory(facts.places.consumeQueue, topic, record.queueId);
    const units = new QueueUnits(reading, directory, topic, record.queueId);
    const isKnown = units.read(record.queueOffset) && units.counts && units.phyOffset === record.phyOffset;
    reading.close();
    return isKnown;
  };
}
