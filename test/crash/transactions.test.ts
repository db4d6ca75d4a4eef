/** Brokers that are killed in the middle of a transaction: what was committed comes, what was rolled back does not. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { afterEach, expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { RequestCode } from "#src/remoting/codes.js";
import { ANSWER_MS, closeAll, onCloseAll, pull, temporaryDirectory } from "../server/harness.js";
import { COMMIT, ROLLBACK, type SentHalf, TransactionProducer } from "../server/transaction-producer.js";

const COMETMQ = path.join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const COUNT = 12;

afterEach(closeAll);

async function startServer(directory: string, failpoint = ""): Promise<{ server: ChildProcess; port: number }> {
  const conf = `${directory}.conf`;
  writeFileSync(conf, "transactionCheckInterval=200\ntransactionTimeOut=100\nmappedFileSizeCommitLog=16777216\n");
  const ports = ["--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const server = spawn(process.execPath, [COMETMQ, "start", "-c", conf, "--data", directory, ...ports], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, CI: "true", COMETMQ_FAILPOINT: failpoint },
  });
  onCloseAll(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill("SIGKILL");
    await once(server, "exit");
  });
  for await (const line of readline.createInterface({ input: server.stdout! })) {
    const [, port] = /^ready .*\bbroker=\S+:(\d+)/.exec(line) ?? [];
    if (port !== undefined) return { server, port: Number(port) };
  }
  throw new Error("the server ended before it was ready");
}

/** What every third transaction is: committed, rolled back, committed when asked. */
function decisionOf(number: number): number {
  return number % 3 === 1 ? ROLLBACK : COMMIT;
}

/** Durable when it is answered; one that a message makes is saved a moment later. */
async function createTopic({ client }: TransactionProducer): Promise<void> {
  const fields = { topic: "T", defaultTopic: "TBW102", readQueueNums: 4, writeQueueNums: 4, perm: 6, order: false };
  const given = { ...fields, topicFilterType: "SINGLE_TAG", topicSysFlag: 0 };
  const { code } = await client.call(RequestCode.UPDATE_AND_CREATE_TOPIC, given, undefined, ANSWER_MS);
  expect(code).toBe(0);
}

async function bodiesOf(producer: TransactionProducer): Promise<string[]> {
  return decodeRecords((await pull(producer.client, { maxMsgNums: 1000 })).body).map(({ body }) => body.toString());
}

test.each([
  "transaction-half-after:7",
  "transaction-commit-before:3",
  "transaction-commit-after:3",
  "transaction-op-after:3",
  "transaction-check-after:2",
])("killed at %s", async (failpoint) => {
  const directory = path.join(temporaryDirectory(), "data");
  const decisions = new Map(Array.from({ length: COUNT + 1 }, (_, i) => [`t${i}`, decisionOf(i)]));
  const first = await startServer(directory, failpoint);
  const exited = once(first.server, "exit");
  const before = await TransactionProducer.join(first.port, "P", decisions);
  await createTopic(before);
  const acknowledged: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    const half: SentHalf | undefined = await before.sendHalf("T", `t${i}`).catch(() => undefined);
    if (half === undefined) break;
    acknowledged.push(half.body);
    if (i % 3 !== 2) await before.end(half, decisionOf(i)).catch(() => {});
  }
  expect(await exited).toEqual([null, "SIGKILL"]);
  await before.close();

  const second = await startServer(directory);
  const after = await TransactionProducer.join(second.port, "P", decisions);
  const committed = acknowledged.filter((body) => decisions.get(body) === COMMIT);
  let bodies: string[] = [];
  while (!committed.every((body) => bodies.includes(body))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    bodies = await bodiesOf(after);
  }
  // One that was not acknowledged may have been stored all the same.
  expect(bodies.filter((body) => decisions.get(body) === ROLLBACK)).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(2);
  await after.close();
  second.server.kill("SIGKILL");
  await once(second.server, "exit");
});
