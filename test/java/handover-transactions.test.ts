/**
 * A store with open transactions changes hands between Apache's broker and ours, both ways: what one has taken the other
 * asks about and delivers, what one has ended the other does not ask about.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { closeAll, pull, startBroker, temporaryDirectory } from "../server/harness.js";
import { COMMIT, ROLLBACK, TransactionProducer } from "../server/transaction-producer.js";
import { ApacheBroker, describeHandover, sleep } from "./apache-broker.js";

const TIMES = { transactionTimeOut: 1000, transactionCheckInterval: 4000 };
/** Less than the interval of checks, or Apache asks about what has ended. */
const OP_BATCH_MS = 300;

function startApache(store: string): Promise<ApacheBroker> {
  return ApacheBroker.start(store, { ...TIMES, transactionOpBatchInterval: OP_BATCH_MS });
}

const DECISIONS = new Map([
  ["committed", COMMIT],
  ["rolled back", ROLLBACK],
  ["committed when asked", COMMIT],
  ["rolled back when asked", ROLLBACK],
]);

/** Ends two transactions, leaves two open, and waits until the broker has asked about those. */
async function leaveOpen(port: number): Promise<void> {
  const producer = await TransactionProducer.join(port, "P", new Map());
  await producer.end(await producer.sendHalf("T", "committed"), COMMIT);
  await producer.end(await producer.sendHalf("T", "rolled back"), ROLLBACK);
  await producer.sendHalf("T", "committed when asked");
  await producer.sendHalf("T", "rolled back when asked");
  while (producer.asked.length < 2) await sleep(50);
  await sleep(5 * OP_BATCH_MS);
  await producer.close();
}

/** Answers what the broker asks, until it has delivered what was committed and has nothing left to ask. */
async function finish(port: number): Promise<{ delivered: string[]; asked: Set<string> }> {
  const producer = await TransactionProducer.join(port, "P", DECISIONS);
  let delivered: string[] = [];
  while (!delivered.includes("committed when asked") || !producer.asked.includes("rolled back when asked")) {
    await sleep(50);
    delivered = decodeRecords((await pull(producer.client)).body).map(({ body }) => body.toString());
  }
  // Long enough for a commit that came twice.
  await sleep(2 * TIMES.transactionCheckInterval + 5 * OP_BATCH_MS);
  const answer = await pull(producer.client);
  const asked = new Set(producer.asked);
  await producer.close();
  return { delivered: decodeRecords(answer.body).map(({ body }) => body.toString()), asked };
}

const OPEN = ["committed when asked", "rolled back when asked"];

/** What group CID_RMQ_SYS_TRANS has got to in the half topic, from the file that both brokers keep. */
function savedHalfOffset(store: string): number {
  const text = readFileSync(path.join(store, "config", "consumerOffset.json"), "utf8");
  return Number(/RMQ_SYS_TRANS_HALF_TOPIC@CID_RMQ_SYS_TRANS"\s*:\s*\{\s*"?0"?\s*:\s*(\d+)/.exec(text)?.[1] ?? -1);
}

afterEach(closeAll);

describeHandover("transactions that change hands", () => {
  test("from Apache's broker to ours", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const apache = await startApache(store);
    await leaveOpen(apache.port);
    await apache.stop();
    expect(savedHalfOffset(store)).toBeGreaterThanOrEqual(2);
    const { broker, log } = await startBroker({ directory: store, config: TIMES });
    const { delivered, asked } = await finish(broker.port);
    expect(delivered).toEqual(["committed", "committed when asked"]);
    expect([...asked].sort()).toEqual(OPEN);
    expect(log.at("error", /./)).toEqual([]);
  });

  test("one that is to wait is refused by ours, and lost by Apache's, which takes it", async () => {
    const late = { TIMER_DELAY_MS: "1500" };
    const store = path.join(temporaryDirectory(), "store");
    const apache = await startApache(store);
    const producer = await TransactionProducer.join(apache.port, "P", new Map([["late", COMMIT]]));
    await producer.end(await producer.sendHalf("T", "late", late), COMMIT);
    await producer.end(await producer.sendHalf("T", "other"), COMMIT);
    await sleep(2 * TIMES.transactionCheckInterval + 5 * OP_BATCH_MS);
    const answer = await pull(producer.client);
    expect(decodeRecords(answer.body).map(({ body }) => body.toString())).toEqual(["other"]);
    await producer.close();
    const { broker } = await startBroker({ config: TIMES });
    const another = await TransactionProducer.join(broker.port, "P", new Map());
    await expect(another.sendHalf("T", "late", late)).rejects.toThrow("can not be delayed");
    await another.close();
  });

  test("from our broker to Apache's", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const { broker } = await startBroker({ directory: store, config: TIMES });
    await leaveOpen(broker.port);
    await broker.close();
    expect(savedHalfOffset(store)).toBeGreaterThanOrEqual(2);
    const apache = await startApache(store);
    const { delivered, asked } = await finish(apache.port);
    expect(delivered).toEqual(["committed", "committed when asked"]);
    expect([...asked].sort()).toEqual(OPEN);
  });
});
