/**
 * Opens the store that a writer was killed over, checks all there is to check, and that every acknowledged message of
 * every round is at exactly the place its acknowledgement said, with exactly its body. Prints what it found as JSON. Then
 * it closes the store, or ends without closing it, as it was told.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { decodeRecord } from "#src/record/decode.js";
import { MessageStore } from "#src/store/message-store.js";
import { QUEUE_FILE_BYTES, SEGMENT_BYTES, storeOptions } from "./settings.mjs";
import { verifyStore } from "./verify.mjs";

const { ackPaths, indexStep, closes, mayMend, ...where } = JSON.parse(process.argv[2]);
const PROBLEMS_MAX = 20;

function acknowledged(path) {
  const text = readFileSync(path, "latin1");
  // The last line may be cut short by the kill.
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .slice(0, -1);
}

function checkAck(store, line) {
  const [topic, queueId, queueOffset, phyOffset, sizeBytes, hash] = line.split(" ");
  let record = store.lookUp.recordAt(Number(phyOffset));
  if (queueId !== "-1") {
    const queue = store.findQueue(topic, Number(queueId));
    record = queue === undefined ? undefined : store.lookUp.messageAt(queue, Number(queueOffset));
  }
  if (record === undefined) return `not there: ${line}`;
  const message = decodeRecord(record);
  const matches =
    message.phyOffset === Number(phyOffset) &&
    message.storeSize === Number(sizeBytes) &&
    message.topic === topic &&
    (queueId === "-1" || (message.queueId === Number(queueId) && message.queueOffset === Number(queueOffset))) &&
    createHash("sha1").update(message.body).digest("hex") === hash;
  return matches ? "" : `${line} is ${message.topic} ${message.queueId} ${message.queueOffset} ${message.phyOffset}`;
}

const store = await MessageStore.open(storeOptions(where));
const { records, problems } = await verifyStore(store, {
  segmentBytes: SEGMENT_BYTES,
  queueFileBytes: QUEUE_FILE_BYTES,
  indexStep,
});
let ackCount = 0;
let lostCount = 0;
for (const path of ackPaths) {
  for (const line of acknowledged(path)) {
    ackCount++;
    const problem = checkAck(store, line);
    if (problem !== "" && ++lostCount <= PROBLEMS_MAX) problems.push(`acknowledged message ${problem}`);
  }
}
if (lostCount > PROBLEMS_MAX) problems.push(`… ${lostCount} acknowledged messages in all`);
for (const finding of store.recovery.findings) {
  if (!mayMend || finding.problem !== "entry was missing") problems.push(`recovery found ${JSON.stringify(finding)}`);
}
// A kill leaves nothing behind that a later record could follow.
for (const damage of store.recovery.damages) problems.push(`recovery found damage ${JSON.stringify(damage)}`);
const { recovery, backend } = store;
if (closes) await store.close();
process.stdout.write(
  `${JSON.stringify({ backend, ackCount, recordCount: records.length, recovery, problems })}\n`,
  () => process.exit(0),
);
