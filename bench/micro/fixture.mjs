/** Messages and stores that the micro-benchmarks work on: 1 KB bodies and the properties of a usual producer. */
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../dist/base/clock.js";
import { CommitLog } from "../../dist/commitlog/commit-log.js";
import { SegmentQueue } from "../../dist/commitlog/segment-queue.js";
import { InlineSegmentSource, SegmentMaker } from "../../dist/commitlog/segment-source.js";
import { FileDisk } from "../../dist/io/file-disk.js";
import { MessageStore } from "../../dist/store/message-store.js";

export const QUEUES = 8;
export const GIB = 1024 ** 3;

const HOST = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f]);
const PROPERTIES_AFTER =
  "\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002MSG_REGION\u0001DefaultRegion\u0002TRACE_ON\u0001true\u0002CLUSTER\u0001DefaultCluster\u0002";

/** A directory on the disk that the checkout is on (never memory), removed at the end. */
export function workDirectory() {
  const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
  const directory = mkdtempSync(path.join(process.env.BENCH_DIR ?? root, ".bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The message that is put again and again; `next` makes its properties anew, with other keys each time. */
export class Messages {
  #count = 0;
  #properties = Buffer.alloc(1024);

  constructor(queues, bodyBytes) {
    this.queues = queues;
    const body = Buffer.alloc(bodyBytes);
    for (let i = 0; i < bodyBytes; i++) body[i] = 97 + ((i * 7 + Math.floor(i / 26)) % 26);
    this.message = {
      queue: queues[0],
      flag: 0,
      sysFlag: 0,
      bornTimestamp: Date.now(),
      bornHost: HOST,
      storeHost: HOST,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body,
      bodyStart: 0,
      bodyLength: bodyBytes,
      properties: this.#properties,
      propertiesStart: 0,
      propertiesLength: 0,
    };
    this.result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  }

  next() {
    const i = this.#count++;
    const { message } = this;
    message.queue = this.queues[i % this.queues.length];
    const text = `KEYS\u0001k${i}\u0002UNIQ_KEY\u00017F0000010000BENCH${100000000 + i}${PROPERTIES_AFTER}`;
    message.propertiesLength = this.#properties.latin1Write(text, 0);
    return message;
  }
}

/** A commit log over files whose pages are all in memory and mapped; it begins anew at their start when they are full. */
export class WarmLog {
  constructor(directory, segmentCount) {
    const disk = new FileDisk();
    this.backend = disk.backend;
    this.limit = segmentCount * GIB;
    this.segments = new SegmentQueue({ disk, directory, segmentBytes: GIB, writable: true });
    const maker = new SegmentMaker(disk, directory, GIB, 0);
    this.source = new InlineSegmentSource(maker, systemClock);
    this.source.request(this.limit);
    this.segments.load();
    this.#rewind();
  }

  /** Messages for so many queues of one topic. */
  messages(bodyBytes, queueCount) {
    const handles = Array.from({ length: queueCount }, (_, queueId) => {
      return { topic: "TopicTest", topicBytes: Buffer.from("TopicTest"), queueId, slot: queueId };
    });
    return new Messages(handles, bodyBytes);
  }

  /** Writes through every page once. */
  warm() {
    for (let offset = 0; offset < this.limit; offset += GIB) {
      const { bytes } = this.segments.at(offset).whole;
      for (let i = 0; i < bytes.length; i += 4096) bytes[i] = 1;
    }
  }

  #rewind() {
    this.log = new CommitLog({
      segments: this.segments,
      source: this.source,
      clock: systemClock,
      appendPosition: 0,
      lastStoreTimestamp: 0,
      recordBytesMax: 5 * 1024 * 1024,
    });
  }

  append(messages) {
    const message = messages.next();
    if (this.log.append(message, 0, messages.result) !== 0) throw new Error("the append failed");
    if (this.log.appendPosition > this.limit - GIB / 2) this.#rewind();
  }

  close() {
    this.segments.close();
  }
}

/** An open store with `count` settled messages in one topic of eight queues. */
export async function filledStore(directory, count, bodyBytes, options = {}) {
  const store = await MessageStore.open({ directory, ...options });
  const queues = Array.from({ length: QUEUES }, (_, queueId) => store.queue("TopicTest", queueId));
  const messages = new Messages(queues, bodyBytes);
  for (let i = 0; i < count; i++) {
    if (store.put(messages.next(), messages.result) !== 0) throw new Error("the put failed");
    if (i % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await store.settled();
  return { store, queues, messages };
}
