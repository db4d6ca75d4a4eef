/** The command where its streams or its servers are not what it hoped for: a full disk, nobody who reads, strangers. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadOptional } from "#src/base/optional-package.js";
import { TestBroker } from "#src/testing/mod.js";
import { closeAll, onCloseAll, temporaryDirectory } from "../server/harness.js";
import { COMMAND, cometmq } from "./store-process.js";

let broker: TestBroker;

beforeAll(async () => {
  broker = await TestBroker.start({ topics: { T: { queues: 1 } } });
  onCloseAll(() => broker.close());
  const lines = Array.from({ length: 40 }, (_, i) => `${i}${"x".repeat(64 * 1024)}`).join("\n");
  await cometmq(["produce", "T", "--namesrv", broker.namesrvAddr], lines);
});

afterAll(closeAll);

const noFullDevice = existsSync("/dev/full") ? false : "this system has no /dev/full";
if (noFullDevice !== false) process.stdout.write(`skipped: ${noFullDevice}\n`);

test.skipIf(noFullDevice)(
  "stdout on a full disk: one line, and a status that says that results are missing",
  async () => {
    const full = openSync("/dev/full", "w");
    onCloseAll(() => closeSync(full));
    const runs = [
      ["consume", "T"],
      ["topic", "list", "--json"],
      ["completion", "bash"],
    ].map(async (args) => {
      const env = { ...process.env, NAMESRV_ADDR: broker.namesrvAddr };
      const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", full, "pipe"], env });
      let err = "";
      child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        err += text;
      });
      return { args, status: (await once(child, "close"))[0], err };
    });
    for (const { args, status, err } of await Promise.all(runs)) {
      expect([args, status, err]).toEqual([
        args,
        2,
        "cometmq: stdout takes nothing more (ENOSPC): results are missing\n",
      ]);
    }
  },
);

test("a server goes on when nobody reads what it said, and closes its store when its terminal goes", async () => {
  const data = temporaryDirectory();
  const ports = ["--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const child = spawn(process.execPath, [COMMAND, "start", "--data", data, ...ports], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  onCloseAll(() => void child.kill("SIGKILL"));
  const exit = once(child, "exit");
  child.stdout.destroy();
  // A moment later it says that it is ready, to nobody.
  while (!existsSync(`${data}/abort`)) await new Promise((done) => setTimeout(done, 10));
  await new Promise((done) => setTimeout(done, 300));
  expect(child.exitCode).toBe(null);
  child.kill("SIGHUP");
  child.kill("SIGHUP");
  expect((await exit)[0]).toBe(0);
  expect(existsSync(`${data}/abort`)).toBe(false);
});

test("Ctrl-C before all is shown is told by the status", async () => {
  const args = ["consume", "T", "--namesrv", broker.namesrvAddr];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  const exit = once(child, "exit");
  await once(child.stdout, "readable");
  child.kill("SIGINT");
  await new Promise((done) => setTimeout(done, 50));
  child.stdout.resume();
  expect((await exit)[0]).toBe(130);
});

test("what answers and is no RocketMQ server could not be asked: one line, and 2", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onCloseAll(() => void server.close());
  const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const { status, out, err } = await cometmq(["topic", "list", "--namesrv", address]);
  expect([status, out]).toEqual([2, ""]);
  expect(err).toMatch(new RegExp(`^cometmq: ${address} answers, but not as a RocketMQ server.*\n$`));
});

const noKoffi =
  process.platform === "win32" || loadOptional("koffi") === undefined ? "koffi does not load here" : false;
if (noKoffi !== false) process.stdout.write(`skipped: ${noKoffi}\n`);

test.skipIf(noKoffi)("who follows a topic ends with who reads it, though nothing more comes", async () => {
  broker.createTopic("F", { queues: 1 });
  await broker.send("F", "one");
  const args = [COMMAND, "consume", "F", "-f", "--from", "first", "--namesrv", broker.namesrvAddr];
  const command = '"$0" "$@" | head -n 1';
  const child = spawn("bash", ["-o", "pipefail", "-c", command, process.execPath, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onCloseAll(() => void child.kill("SIGKILL"));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  expect([(await once(child, "close"))[0], out]).toEqual([0, "one\n"]);
});

test("Ctrl-C while a server is asked that does not answer", async () => {
  const server = createServer((socket) => void socket.on("error", () => {})).listen(0, "127.0.0.1");
  await once(server, "listening");
  onCloseAll(() => void server.close());
  const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const args = ["consume", "T", "--namesrv", address, "--timeout", "100000"];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: "ignore" });
  onCloseAll(() => void child.kill("SIGKILL"));
  const exit = once(child, "exit");
  const [socket] = (await once(server, "connection")) as [Socket];
  await once(socket, "data");
  child.kill("SIGINT");
  expect(await exit).toEqual([130, null]);
});
