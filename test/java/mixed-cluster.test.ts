/**
 * Halves of a cluster that are Apache's: its name server routes its clients to our broker, ours routes them to its broker.
 * The clients are those of test/clients, which find the broker by its route alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import { freeBrokerPort, freePort } from "../clients/ports.mjs";
import { buildJava, JarsUnavailable, missingTool } from "./build.mjs";

const ROOT = path.join(import.meta.dirname, "..", "..");
const COMETMQ = path.join(ROOT, "bin", "cometmq.mjs");
const START_MS = 60_000;
const CASES = "send-sync|tag-filter";

/** They live for seconds: what their compiler would gain later is not worth the time it takes. */
const QUICK_START = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

const prepared = await prepare();

async function prepare(): Promise<{ servers: string; clients: string } | { reason: string }> {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { servers: await buildJava("servers"), clients: await buildJava("clients") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

const missing = "reason" in prepared ? prepared.reason : undefined;
if (missing !== undefined) process.stderr.write(`skipped: clusters half of Apache's: ${missing}\n`);

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function scratch(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "cometmq-mixed-"));
  closers.push(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

function begin(
  command: string,
  args: string[],
  cwd: string,
  given: Record<string, string> = {},
): { child: ChildProcess; output: () => string } {
  let text = "";
  const child = spawn(command, args, {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, CI: "true", ...given },
  });
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  }
  closers.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return { child, output: () => text };
}

function java(directory: string, main: string, settings: Record<string, string | number | boolean>, memory: string[]) {
  if (!("servers" in prepared)) throw new Error("nothing to run");
  const home = path.join(directory, "home");
  mkdirSync(path.join(home, "conf"), { recursive: true });
  const conf = path.join(directory, "server.conf");
  writeFileSync(
    conf,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  const exports = ["jdk.internal.ref", "sun.nio.ch"].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`);
  const where = [`-Duser.home=${directory}`, `-Drocketmq.home.dir=${home}`, `-Drocketmq.log.dir=${directory}/log`];
  const flags = [...QUICK_START, ...where, ...exports, ...memory];
  return begin("java", [...flags, "-cp", prepared.servers, main, "-c", conf], directory);
}

/** Whether the name server has a route to a broker that is there. */
async function untilRouted(namesrvPort: number, child: ChildProcess, output: () => string): Promise<void> {
  const client = new RemotingClient("127.0.0.1", namesrvPort, { connectTimeoutMs: 1000 });
  closers.push(() => client.close());
  const endMs = performance.now() + START_MS;
  while (performance.now() < endMs) {
    if (child.exitCode !== null) throw new Error(`it ended: ${output()}`);
    const fields = { topic: "TBW102", acceptStandardJsonOnly: true };
    const answer = await client
      .call(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields, undefined, 5000)
      .catch(() => undefined);
    if (answer?.code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no route in ${START_MS} ms: ${output()}`);
}

/** Runs Apache's client and reads its verdicts. */
async function runClient(namesrvPort: number, brokerPort: number, directory: string): Promise<string> {
  if (!("clients" in prepared)) throw new Error("nothing to run");
  const home = path.join(directory, "client");
  mkdirSync(home);
  const where = [`-Duser.home=${home}`, `-Drocketmq.client.logRoot=${home}/logs`];
  const addresses = { NAMESRV_ADDR: `127.0.0.1:${namesrvPort}`, BROKER_ADDR: `127.0.0.1:${brokerPort}` };
  const args = ["-Xmx640m", ...QUICK_START, ...where, "-cp", prepared.clients, "Conformance"];
  const { child, output } = begin("java", args, directory, { ...addresses, ONLY: CASES, OUT: "" });
  await once(child, "close");
  return output();
}

function expectPassed(output: string): void {
  for (const name of CASES.split("|")) {
    expect(output).toContain(`ok java-remoting-5.4.0/${name}`);
  }
  expect(output).not.toContain("FAIL");
}

describe.skipIf(missing !== undefined)("a cluster half of which is Apache's", () => {
  test("its name server, our broker, its client", async () => {
    const directory = scratch();
    const namesrvPort = await freePort();
    const settings = { listenPort: namesrvPort, bindAddress: "127.0.0.1" };
    java(directory, "org.apache.rocketmq.namesrv.NamesrvStartup", settings, ["-Xmx256m"]);
    const brokerPort = await freeBrokerPort();
    const data = ["--data", path.join(directory, "store"), "--broker-port", String(brokerPort)];
    const broker = [COMETMQ, "broker", "--namesrv", `127.0.0.1:${namesrvPort}`, ...data];
    const { child, output } = begin(process.execPath, broker, directory);
    await untilRouted(namesrvPort, child, output);
    expectPassed(await runClient(namesrvPort, brokerPort, directory));
  });

  test("our name server, its broker, its client", async () => {
    const directory = scratch();
    const namesrvPort = await freePort();
    begin(process.execPath, [COMETMQ, "namesrv", "--namesrv-port", String(namesrvPort)], directory);
    const brokerPort = await freeBrokerPort();
    const storePathRootDir = path.join(directory, "store");
    const settings = {
      brokerName: "broker-a",
      brokerIP1: "127.0.0.1",
      brokerIP2: "127.0.0.1",
      bindAddress: "127.0.0.1",
      namesrvAddr: `127.0.0.1:${namesrvPort}`,
      listenPort: brokerPort,
      haListenPort: await freePort(),
      storePathRootDir,
      mappedFileSizeCommitLog: 16 * 1024 * 1024,
      enablePropertyFilter: true,
      diskMaxUsedSpaceRatio: 98,
    };
    const memory = ["-Xmx512m", "-XX:MaxDirectMemorySize=256m"];
    const broker = java(directory, "org.apache.rocketmq.broker.BrokerStartup", settings, memory);
    await untilRouted(namesrvPort, broker.child, () => `${broker.output()} ${tailOf(directory)}`);
    expectPassed(await runClient(namesrvPort, brokerPort, directory));
  });
});

function tailOf(directory: string): string {
  try {
    return readFileSync(path.join(directory, "log", "rocketmqlogs", "broker.log"), "utf8").slice(-1000);
  } catch {
    return "";
  }
}
