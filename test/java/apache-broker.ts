/**
 * Apache's broker on a store of ours, and the reverse: for tests in which a store changes hands. They take a while, so only
 * with COMETMQ_HANDOVER=1 (`npm run test:handover`), and where a JDK, Maven and the broker's jars are.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { describe } from "vitest";
import { onCloseAll, temporaryDirectory } from "../server/harness.js";
import { buildJava, JarsUnavailable, missingTool } from "./build.mjs";
import { freePort } from "../clients/ports.mjs";

const POLL_MS = 50;
const prepared = await prepare();

async function prepare(): Promise<{ classPath: string } | { reason: string }> {
  if (process.env.COMETMQ_HANDOVER !== "1") return { reason: "COMETMQ_HANDOVER is not 1" };
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { classPath: await buildJava("servers") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

/** A `describe` whose tests need Apache's broker. */
export function describeHandover(name: string, body: () => void): void {
  const missing = "reason" in prepared ? prepared.reason : undefined;
  if (missing !== undefined) process.stderr.write(`skipped: ${name}: ${missing}\n`);
  describe.skipIf(missing !== undefined)(name, body);
}

/** What both brokers are told, so that one reads the files of the other. As the harness starts ours. */
const SIZES = {
  mappedFileSizeCommitLog: 16 * 1024 * 1024,
  mappedFileSizeConsumeQueue: 20_000,
  maxHashSlotNum: 1000,
  maxIndexNum: 4000,
};

export class ApacheBroker {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, process: ChildProcess) {
    this.port = port;
    this.#process = process;
  }

  /** Waits until its port is open. Whatever is left running ends with the test. */
  static async start(store: string, given: Record<string, string | number | boolean> = {}): Promise<ApacheBroker> {
    if ("reason" in prepared) throw new Error(prepared.reason);
    const home = path.join(temporaryDirectory(), "home");
    mkdirSync(home, { recursive: true });
    const port = await freePort();
    const settings = {
      ...{ brokerName: "broker-t", brokerIP1: "127.0.0.1", bindAddress: "127.0.0.1", listenPort: port },
      ...{ haListenPort: await freePort(), storePathRootDir: store, diskMaxUsedSpaceRatio: 98 },
      ...SIZES,
      ...given,
    };
    const conf = path.join(home, "broker.conf");
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(conf, lines.join(""));
    const exports = ["jdk.internal.ref", "sun.nio.ch"].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`);
    const homes = [`-Duser.home=${home}`, `-Drocketmq.home.dir=${home}`, `-Drocketmq.log.dir=${home}`];
    const main = ["-cp", prepared.classPath, "org.apache.rocketmq.broker.BrokerStartup", "-c", conf];
    const child = spawn("java", [...homes, ...exports, "-Xmx512m", ...main], { stdio: "ignore" });
    const apache = new ApacheBroker(port, child);
    onCloseAll(() => apache.stop());
    while (!(await isOpen(port))) {
      if (child.exitCode !== null) throw new Error(`Apache's broker ended with ${child.exitCode}`);
      await sleep(POLL_MS);
    }
    return apache;
  }

  /** In good order, so that all it knows is saved. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGTERM");
    await once(this.#process, "exit");
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
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
