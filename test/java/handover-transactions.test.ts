/**
 * A store with open transactions changes hands between Apache's broker and ours, both ways: what one has taken the other
 * asks about and delivers, what one has ended the other does not ask about. Takes half a minute, so only with
 * COMETMQ_HANDOVER=1, where a JDK and the broker's jars are (`npm run bench:wire` fetches them).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { homedir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { closeAll, onCloseAll, pull, startBroker, temporaryDirectory } from "../server/harness.js";
import { COMMIT, ROLLBACK, TransactionProducer } from "../server/transaction-producer.js";

const JARS = path.join(homedir(), ".cache", "apache-rocketmq", "5.4.0");
const TIMES = { transactionTimeOut: 1000, transactionCheckInterval: 4000 };
/** Less than the interval of checks, or Apache asks about what has ended. */
const OP_BATCH_MS = 300;
const missing = whatIsMissing();

function whatIsMissing(): string | undefined {
  if (process.env.COMETMQ_HANDOVER !== "1") return "COMETMQ_HANDOVER is not 1";
  return existsSync(path.join(JARS, "rocketmq-broker-5.4.0.jar")) ? undefined : `no jars in ${JARS}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const opened = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return opened;
}

class Apache {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, process: ChildProcess) {
    this.port = port;
    this.#process = process;
  }

  static async start(store: string): Promise<Apache> {
    const home = path.join(temporaryDirectory(), "home");
    mkdirSync(home, { recursive: true });
    const port = await freePort();
    const settings = {
      ...{ brokerName: "broker-t", brokerIP1: "127.0.0.1", bindAddress: "127.0.0.1", listenPort: port },
      ...{ haListenPort: await freePort(), storePathRootDir: store, diskMaxUsedSpaceRatio: 98 },
      ...{ ...TIMES, transactionOpBatchInterval: OP_BATCH_MS },
      ...{ mappedFileSizeCommitLog: 16 * 1024 * 1024, mappedFileSizeConsumeQueue: 20_000 },
      ...{ maxHashSlotNum: 1000, maxIndexNum: 4000 },
    };
    const conf = path.join(home, "broker.conf");
    writeFileSync(
      conf,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    const exports = ["jdk.internal.ref", "sun.nio.ch"].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`);
    const homes = [`-Duser.home=${home}`, `-Drocketmq.home.dir=${home}`, `-Drocketmq.log.dir=${home}`];
    const main = ["-cp", path.join(JARS, "*"), "org.apache.rocketmq.broker.BrokerStartup", "-c", conf];
    const child = spawn("java", [...homes, ...exports, "-Xmx512m", ...main], { stdio: "ignore" });
    const apache = new Apache(port, child);
    onCloseAll(() => apache.stop());
    while (!(await isOpen(port))) {
      if (child.exitCode !== null) throw new Error(`Apache's broker ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return apache;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGTERM");
    await once(this.#process, "exit");
  }
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
  while (producer.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  await new Promise((resolve) => setTimeout(resolve, 5 * OP_BATCH_MS));
  await producer.close();
}

/** Answers what the broker asks, until it has delivered what was committed and has nothing left to ask. */
async function finish(port: number): Promise<{ delivered: string[]; asked: Set<string> }> {
  const producer = await TransactionProducer.join(port, "P", DECISIONS);
  let delivered: string[] = [];
  while (!delivered.includes("committed when asked") || !producer.asked.includes("rolled back when asked")) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    delivered = decodeRecords((await pull(producer.client)).body).map(({ body }) => body.toString());
  }
  // Long enough for a commit that came twice.
  await new Promise((resolve) => setTimeout(resolve, 2 * TIMES.transactionCheckInterval + 5 * OP_BATCH_MS));
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

if (missing !== undefined) process.stderr.write(`skipped: transactions that change hands: ${missing}\n`);

describe.skipIf(missing !== undefined)("transactions that change hands", () => {
  test("from Apache's broker to ours", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const apache = await Apache.start(store);
    await leaveOpen(apache.port);
    await apache.stop();
    expect(savedHalfOffset(store)).toBeGreaterThanOrEqual(2);
    const { broker, log } = await startBroker({ directory: store, config: TIMES });
    const { delivered, asked } = await finish(broker.port);
    expect(delivered).toEqual(["committed", "committed when asked"]);
    expect([...asked].sort()).toEqual(OPEN);
    expect(log.at("error", /./)).toEqual([]);
  });

  test("from our broker to Apache's", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const { broker } = await startBroker({ directory: store, config: TIMES });
    await leaveOpen(broker.port);
    await broker.close();
    expect(savedHalfOffset(store)).toBeGreaterThanOrEqual(2);
    const apache = await Apache.start(store);
    const { delivered, asked } = await finish(apache.port);
    expect(delivered).toEqual(["committed", "committed when asked"]);
    expect([...asked].sort()).toEqual(OPEN);
  });
});
