/**
 * Opens a store and puts as fast as it can until it is killed. For every message that put has acknowledged a line goes
 * into a file (what was handed to the kernel outlives the writer), a burst's lines with one write:
 *
 *   topic, queue id (-1: in no queue), queue offset, log offset, record's bytes, SHA-1 of the body
 *
 * `opening` and `ready` on stdout tell how far it is.
 */
import { createHash } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { recordSize } from "#src/commitlog/append.js";
import { encodeProperties } from "#src/record/properties.js";
import { MessageStore } from "#src/store/message-store.js";
import { randomFrom } from "./random.mjs";
import { storeOptions } from "./settings.mjs";

const { seed, round, ackPath, messagesMax, ...where } = JSON.parse(process.argv[2]);
const random = randomFrom(seed);
const acks = openSync(ackPath, "a");

const TOPICS = ["orders", "payments", `long-${"n".repeat(140)}`];
const QUEUES_NEW_MAX = 20;
const IPV4 = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f]);
const IPV6 = Buffer.from([0xfe, 0x80, ...Buffer.alloc(13), 1, 0, 0, 0x2a, 0x9f]);
const TRANSACTION_PREPARED = 0x4;
const TRANSACTION_ROLLBACK = 0xc;

const content = Buffer.alloc(2 * 1024 * 1024);
for (let i = 0; i < content.length; i += 4) content.writeUInt32LE(random.integer(0, 2 ** 32), i);

process.stdout.write("opening\n");
const store = await MessageStore.open(storeOptions(where));
process.stdout.write(`ready ${JSON.stringify(store.recovery)}\n`);

const queues = TOPICS.flatMap((topic) => [0, 1, 2, 3].map((queueId) => store.queue(topic, queueId)));
const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
let serial = 0;
let newQueues = 0;

function bodyBytes() {
  if (random.chance(0.1)) return 0;
  if (random.chance(0.8)) return random.integer(1, 400);
  if (random.chance(0.95)) return random.integer(400, 8_000);
  return random.integer(8_000, random.chance(0.2) ? 900_000 : 60_000);
}

function randomQueue() {
  if (newQueues < QUEUES_NEW_MAX && random.chance(0.002)) {
    newQueues++;
    queues.push(store.queue(`new-${round}-${newQueues % 5}`, newQueues));
  }
  return queues[random.integer(0, queues.length)];
}

function message(queue, bytesMax) {
  const bodyLength = Math.min(bodyBytes(), bytesMax);
  const properties = [
    ["UNIQ_KEY", `${round}-${serial++}`],
    ["TAGS", `tag${random.integer(0, 5)}`],
  ];
  if (random.chance(0.3)) properties.push(["KEYS", `k${random.integer(0, 100)} other${serial}`]);
  const encoded = encodeProperties(properties);
  const transaction = random.chance(0.03) ? (random.chance(0.5) ? TRANSACTION_PREPARED : TRANSACTION_ROLLBACK) : 0;
  return {
    queue,
    flag: serial & 0xff,
    sysFlag: transaction,
    bornTimestamp: 1_700_000_000_000 + serial,
    bornHost: random.chance(0.1) ? IPV6 : IPV4,
    storeHost: IPV4,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: content,
    bodyStart: random.integer(0, content.length - bodyLength),
    bodyLength,
    properties: encoded,
    propertiesStart: 0,
    propertiesLength: encoded.length,
  };
}

/** Puts one message or a batch; returns the lines for what was acknowledged. */
function put() {
  const queue = randomQueue();
  const batch = random.chance(0.05);
  const messages = [];
  if (batch) for (let i = random.integer(1, 20); i > 0; i--) messages.push({ ...message(queue, 4000), sysFlag: 0 });
  else messages.push(message(queue, 1_000_000));
  const status = batch ? store.putBatch(messages, result) : store.put(messages[0], result);
  if (status !== 0) throw new Error(`put answered ${status}: ${store.failure?.message}`);
  let lines = "";
  let { phyOffset, queueOffset } = result;
  for (const { sysFlag, body, bodyStart, bodyLength, ...rest } of messages) {
    const hash = createHash("sha1")
      .update(body.subarray(bodyStart, bodyStart + bodyLength))
      .digest("hex");
    const sizeBytes = recordSize({ ...rest, bodyLength });
    const queueId = (sysFlag & 0xc) === 0 ? queue.queueId : -1;
    lines += `${queue.topic} ${queueId} ${queueOffset} ${phyOffset} ${sizeBytes} ${hash}\n`;
    phyOffset += sizeBytes;
    queueOffset++;
  }
  return lines;
}

while (serial < messagesMax) {
  let lines = "";
  for (let i = random.integer(1, 40); i > 0; i--) lines += put();
  if (!store.publish()) throw new Error(`messages are lost: ${store.failure?.message}`);
  if (store.syncFlush) await store.whenFlushed(store.maxPhyOffset);
  writeSync(acks, lines);
  await new Promise((resolve) => setImmediate(resolve));
}
// Enough was written: waits for its end.
setInterval(() => {}, 1000);
