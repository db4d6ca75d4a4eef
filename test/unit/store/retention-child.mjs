/**
 * A process that a failpoint kills: puts messages and deletes what has expired, by turns, and writes a line for each
 * message the store has taken.   node retention-child.mjs DIRECTORY ROUNDS THREADS   with 0 rounds it only opens.
 */
import { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { messageInput } from "./message-input.mjs";

const [directory, rounds, threads] = process.argv.slice(2);
const store = await MessageStore.open({
  directory,
  segmentBytes: 64 * 1024,
  queueFileBytes: 400,
  indexSizes: { maxHashSlotNum: 64, maxIndexNum: 101 },
  retention: { fileReservedTime: 0, deleteWhen: "04", cleanResourceInterval: 3_600_000 },
  threads: threads === "threads",
});
const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };

function put(topic, queueId, text) {
  const body = Buffer.alloc(900, text);
  body.write(`${text}|`);
  const properties = Buffer.from(`KEYS\u0001${text}\u0002`);
  const message = messageInput(store.queue(topic, queueId), body, properties);
  let status = store.put(message, result);
  // On a busy machine the thread that makes segments may come late; what is refused for that passes.
  for (let i = 0; i < 10 && status === PutStatus.CREATE_MAPPED_FILE_FAILED; i++) status = store.put(message, result);
  if (status !== 0) throw new Error(`put answered ${status}`);
  // A pipe is written at once, and waits where the reader is slow.
  process.stdout.write(`${topic} ${queueId} ${result.queueOffset} ${result.phyOffset} ${text}\n`);
}

let count = 0;
for (let round = 0; round < Number(rounds); round++) {
  for (let i = 0; i < 100; i++) put("T", i % 4, `${round}-${count++}`);
  // Topics of one round: their queues only point into segments that go.
  put(`once${round}`, 0, `${round}-${count++}`);
  await store.settled();
  await store.deleteExpired();
}
await store.close();
