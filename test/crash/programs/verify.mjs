/**
 * What has to hold for any open store, checked from outside: the log is read from end to end, and queues, index and
 * reading are held against it. Queue files are read as bytes, for what the store makes of them is what is in question.
 * Used by the programs here and by the tests that hurt stores in process; every finding is a line of text.
 */
import { crc32 } from "node:zlib";
import { LogCursor } from "#src/commitlog/log-cursor.js";
import { SegmentQueue } from "#src/commitlog/segment-queue.js";
import { decodeProperties } from "#src/record/properties.js";
import { isQueued } from "#src/record/sys-flag.js";
import { DEFAULT_DELAY_LEVELS, deliveryTagsCode, parseDelayLevels } from "#src/record/tags-code.js";
import { emptyGetResult } from "#src/store/types.js";

const UNIT_BYTES = 20;
/** Offset 0, size 2^31-1, tags code 0. */
const BLANK_UNIT = Buffer.from("00000000000000007fffffff0000000000000000", "hex");
const PROBLEMS_MAX = 20;
const ENOUGH = { maxCount: 64, maxBytes: 64 * 1024 * 1024 };
const LEVELS = parseDelayLevels(DEFAULT_DELAY_LEVELS);

/** Collects findings; after the first twenty they are only counted. */
class Problems {
  lines = [];
  count = 0;

  add(text) {
    this.count++;
    if (this.lines.length < PROBLEMS_MAX) this.lines.push(text);
  }
}

/**
 * Every record of the log in its order. Throws where the log is not one sound record after the other, but for what
 * recovery has reported as damage.
 */
export function readLog(store, segmentBytes) {
  const segments = new SegmentQueue({
    disk: store.disk,
    directory: store.paths.commitLog,
    segmentBytes,
    writable: false,
  });
  const end = store.maxPhyOffset;
  segments.setRange(store.minPhyOffset, Math.ceil((end + 1) / segmentBytes) * segmentBytes);
  const cursor = new LogCursor(segments);
  cursor.seek(store.minPhyOffset);
  const damages = new Map(store.recovery.damages.map(({ fromOffset, toOffset }) => [fromOffset, toOffset]));
  const records = [];
  try {
    // Damage may begin with a record that only looks like one. 1 is CursorStep.RECORD.
    for (;;) {
      let behind = damages.get(cursor.offset);
      if (behind === undefined) {
        const isRecord = cursor.next(end) === 1;
        behind = damages.get(isRecord ? cursor.recordOffset : cursor.offset);
        if (behind === undefined && !isRecord) break;
      }
      if (behind === undefined) records.push(recordOf(cursor));
      else cursor.seek(behind);
    }
    if (cursor.offset !== end) throw new Error(`there is no record at ${cursor.offset}, and it ends at ${end}`);
  } finally {
    segments.close();
  }
  return records;
}

function recordOf(cursor) {
  const { record, bytes } = cursor;
  const phyOffset = cursor.recordOffset;
  const body = bytes.subarray(record.bodyStart, record.bodyStart + record.bodyLength);
  if (record.phyOffset !== phyOffset) throw new Error(`the record at ${phyOffset} says it lies at ${record.phyOffset}`);
  if (body.length > 0 && (crc32(body) & 0x7fffffff) !== record.bodyCrc)
    throw new Error(`the record at ${phyOffset} fails its CRC`);
  const properties = decodeProperties(bytes, record.propertiesStart, record.propertiesStart + record.propertiesLength);
  return {
    phyOffset,
    sizeBytes: record.totalSize,
    topic: bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength),
    queueId: record.queueId,
    queueOffset: record.queueOffset,
    queued: isQueued(record.sysFlag),
    rolledBack: (record.sysFlag & 0xc) === 0xc,
    tagsCode: deliveryTagsCode(record, bytes, LEVELS),
    storeTimestamp: record.storeTimestamp,
    uniqueKey: properties.get("UNIQ_KEY"),
    keys: properties.get("KEYS"),
    tags: properties.get("TAGS"),
  };
}

/** Records of each queue in the log's order, by `topic/queueId`. */
function byQueue(records) {
  const queues = new Map();
  for (const record of records) {
    if (!record.queued) continue;
    const name = `${record.topic}/${record.queueId}`;
    const list = queues.get(name);
    if (list === undefined) queues.set(name, [record]);
    else list.push(record);
  }
  return queues;
}

/**
 * Queues hold exactly what the log does: an entry for every queued record at its queue offset, offsets without a gap, and
 * nothing behind the last. Where the log is damaged there may be blank entries for what was lost.
 */
function verifyQueues(store, records, queueFileBytes, problems) {
  const queues = byQueue(records);
  const found = new Set();
  const root = store.paths.consumeQueue;
  for (const topic of store.disk.list(root)) {
    for (const queueId of store.disk.list(`${root}/${topic}`)) found.add(`${topic}/${queueId}`);
  }
  for (const [name, list] of queues) {
    found.delete(name);
    verifyQueue(store, `${root}/${name}`, list, queueFileBytes, problems);
    const { topic, queueId } = list[0];
    const handle = store.findQueue(topic, queueId);
    const end = list.at(-1).queueOffset + 1;
    if (handle === undefined) problems.add(`the store does not know the queue ${name}`);
    else if (store.maxOffset(handle) < end || (store.maxOffset(handle) > end && !store.recovery.damages.length)) {
      problems.add(`${name}: max offset is ${store.maxOffset(handle)}, the log's last entry ends at ${end}`);
    }
  }
  for (const name of found) {
    const { bytes } = readUnits(store.disk, `${root}/${name}`, queueFileBytes);
    let start = 0;
    while (store.recovery.damages.length > 0 && isBlank(bytes, start)) start += UNIT_BYTES;
    if (!isZero(bytes.subarray(start))) problems.add(`${name} has entries, and the log has no record of it`);
  }
}

function verifyQueue(store, directory, list, queueFileBytes, problems) {
  const { bytes, first } = readUnits(store.disk, directory, queueFileBytes);
  const mayBeBlank = store.recovery.damages.length > 0;
  const isBlankAt = (offset) => mayBeBlank && isBlank(bytes, (offset - first) * UNIT_BYTES);
  let expected = list[0].queueOffset;
  for (const record of list) {
    while (record.queueOffset > expected && isBlankAt(expected)) expected++;
    if (record.queueOffset !== expected) {
      problems.add(`${directory}: the log goes on at ${record.queueOffset}, ${expected} is next`);
      return;
    }
    const at = (expected - first) * UNIT_BYTES;
    if (at < 0 || at + UNIT_BYTES > bytes.length) {
      problems.add(`${directory} does not reach ${expected}`);
      return;
    }
    const phyOffset = Number(bytes.readBigInt64BE(at));
    const sizeBytes = bytes.readInt32BE(at + 8);
    const tagsCode = Number(bytes.readBigInt64BE(at + 12));
    if (phyOffset !== record.phyOffset || sizeBytes !== record.sizeBytes || tagsCode !== record.tagsCode) {
      problems.add(
        `${directory} at ${expected}: entry (${phyOffset}, ${sizeBytes}, ${tagsCode}), ` +
          `record (${record.phyOffset}, ${record.sizeBytes}, ${record.tagsCode})`,
      );
      if (problems.count > PROBLEMS_MAX) return;
    }
    expected++;
  }
  while (isBlankAt(expected)) expected++;
  if (!isZero(bytes.subarray((expected - first) * UNIT_BYTES)))
    problems.add(`${directory} has something behind its last entry ${expected - 1}`);
}

/** The files of a queue as one run of bytes, and the queue offset of the first. */
function readUnits(disk, directory, queueFileBytes) {
  const names = disk.list(directory).filter((name) => /^\d{20}$/.test(name));
  const bytes = Buffer.alloc(names.length * queueFileBytes);
  names.forEach((name, i) => {
    const file = disk.openFile(`${directory}/${name}`, false);
    file.readAt(bytes, i * queueFileBytes, queueFileBytes, 0);
    file.close();
  });
  return { bytes, first: names.length === 0 ? 0 : Number(names[0]) / UNIT_BYTES };
}

function isBlank(bytes, at) {
  return at >= 0 && at + UNIT_BYTES <= bytes.length && bytes.subarray(at, at + UNIT_BYTES).equals(BLANK_UNIT);
}

function isZero(bytes) {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Every queue read through the store gives its records in order. */
function verifyReading(store, records, problems) {
  const result = emptyGetResult();
  for (const [name, list] of byQueue(records)) {
    const handle = store.findQueue(list[0].topic, list[0].queueId);
    if (handle === undefined) continue;
    let next = 0;
    for (let offset = list[0].queueOffset; next < list.length; offset = result.nextBeginOffset) {
      const status = store.get(handle, offset, ENOUGH, undefined, result);
      // MESSAGE_WAS_REMOVING is what a run of blank entries answers.
      if (status === 2 && store.recovery.damages.length > 0) continue;
      if (status !== 0 || result.records.length === 0) {
        problems.add(`${name}: reading at ${offset} answers ${status}`);
        break;
      }
      for (let i = 0; i < result.records.length; i++, next++) {
        const wanted = list[next];
        const phyOffset = Number(result.records[i].readBigInt64BE(28));
        if (phyOffset !== wanted?.phyOffset || result.queueOffsets[i] !== wanted.queueOffset) {
          problems.add(`${name}: reading gives (${result.queueOffsets[i]}, ${phyOffset}) at ${wanted?.queueOffset}`);
          return;
        }
      }
    }
  }
}

/** Every key of every `step`th record leads to it, and to no place where no record begins. */
function verifyIndex(store, records, step, problems) {
  const places = new Set(records.map((record) => record.phyOffset));
  const answers = new Map();
  for (let i = 0; i < records.length; i += step) {
    const record = records[i];
    if (record.rolledBack) continue;
    const wanted = [];
    if (record.uniqueKey !== undefined) wanted.push([record.uniqueKey, "U"]);
    for (const key of record.keys?.split(" ") ?? []) if (key !== "") wanted.push([key, "K"]);
    for (const [key, kind] of wanted) {
      const question = `${kind} ${record.topic} ${key}`;
      let offsets = answers.get(question);
      if (offsets === undefined) {
        const found = store.lookUp.queryByKey({ topic: record.topic, key, kind, countMax: 10_000 });
        offsets = new Set(found.records.map((bytes) => Number(bytes.readBigInt64BE(28))));
        for (const offset of offsets) if (!places.has(offset)) problems.add(`key ${key} leads to ${offset}, no record`);
        answers.set(question, offsets);
      }
      if (!offsets.has(record.phyOffset))
        problems.add(`key ${key} of ${record.topic} does not lead to ${record.phyOffset}`);
    }
  }
}

/**
 * Checks everything there is; answers the records of the log and the lines of what is wrong. The store is settled
 * first. `indexStep`: every how many records keys are looked up, 0 for none.
 */
export async function verifyStore(store, { segmentBytes, queueFileBytes, indexStep = 1 }) {
  await store.settled();
  const problems = new Problems();
  let records = [];
  try {
    records = readLog(store, segmentBytes);
  } catch (error) {
    problems.add(`the log: ${error.message}`);
  }
  for (let i = 1; i < records.length; i++) {
    if (records[i].storeTimestamp < records[i - 1].storeTimestamp)
      problems.add(`the record at ${records[i].phyOffset} is older than the one before it`);
  }
  verifyQueues(store, records, queueFileBytes, problems);
  verifyReading(store, records, problems);
  if (indexStep > 0) verifyIndex(store, records, indexStep, problems);
  if (problems.count > problems.lines.length)
    problems.lines.push(`… and ${problems.count - problems.lines.length} more`);
  return { records, problems: problems.lines };
}
