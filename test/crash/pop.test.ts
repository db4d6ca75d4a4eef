/**
 * A broker that is killed while consumers pop and acknowledge, again and again: no message is lost, and none comes once
 * its acknowledgement was answered.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import readline from "node:readline";
import { afterEach, expect, test } from "vitest";
import type { RemotingClient } from "#src/remoting/client.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { clientOf, closeAll, onCloseAll, properties, send, temporaryDirectory } from "../server/harness.js";
import { ack, changeInvisibleTime, pop, poppedOf } from "../server/pop-harness.js";

const COMETMQ = path.join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const COUNT = 300;
const KILLS = 2;
const INVISIBLE_MS = 1500;

afterEach(closeAll);

async function startServer(directory: string): Promise<{ server: ChildProcess; port: number }> {
  const args = [COMETMQ, "start", "--data", directory, "--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const env = { ...process.env, CI: "true" };
  const server = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"], env });
  onCloseAll(() => kill(server));
  for await (const line of readline.createInterface({ input: server.stdout! })) {
    const [, port] = /^ready .*\bbroker=\S+:(\d+)/.exec(line) ?? [];
    if (port !== undefined) return { server, port: Number(port) };
  }
  throw new Error("the server ended before it was ready");
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  server.kill("SIGKILL");
  await once(server, "exit");
}

class Consumers {
  readonly acked = new Set<string>();
  /** Acknowledged, answered or not. */
  readonly tried = new Set<string>();
  readonly problems: string[] = [];

  /** Pops and acknowledges until `enough`, or until the connection goes. */
  async work(client: RemotingClient, enough: () => boolean): Promise<void> {
    while (!enough()) {
      const answer = await pop(client, { maxMsgNums: 8, invisibleTime: INVISIBLE_MS, pollTime: 500 });
      if (answer.code !== ResponseCode.SUCCESS) continue;
      for (const message of poppedOf(answer)) await this.#handle(client, message);
    }
  }

  async #handle(client: RemotingClient, message: ReturnType<typeof poppedOf>[number]): Promise<void> {
    const { body } = message;
    if (this.acked.has(body)) this.problems.push(`${body} came after its acknowledgement`);
    const turn = Number(body.slice(1)) % 7;
    // Some are let go of, some kept for longer first.
    if (turn === 0 && message.message.reconsumeTimes === 0) return;
    const kept = turn === 1 ? await changeInvisibleTime(client, message, 60_000) : undefined;
    const parts = message.handle.split(" ");
    if (kept?.code === ResponseCode.SUCCESS) parts.splice(1, 2, kept.fields.popTime!, kept.fields.invisibleTime!);
    this.tried.add(body);
    const { code } = await ack(client, { ...message, handle: parts.join(" ") });
    if (code === ResponseCode.SUCCESS) this.acked.add(body);
  }
}

async function sendAll(client: RemotingClient): Promise<void> {
  const answers = Array.from({ length: COUNT }, (_, i) =>
    send(client, { queueId: i % 4, properties: properties({ UNIQ_KEY: `m${i}` }) }, `m${i}`),
  );
  for (const { code } of await Promise.all(answers)) expect(code).toBe(0);
}

test("nothing is lost, and nothing comes that is acknowledged", async () => {
  const directory = path.join(temporaryDirectory(), "data");
  const consumers = new Consumers();
  const allSeen = () => consumers.tried.size === COUNT;
  const seed = Date.now() % 997;
  for (let round = 0; round <= KILLS; round++) {
    const { server, port } = await startServer(directory);
    if (round === 0) await sendAll(clientOf(port));
    const isLast = round === KILLS;
    const share = ((round + 1) * COUNT) / (KILLS + 2) + (seed % 50);
    const enough = () => (isLast ? allSeen() : consumers.acked.size >= share);
    const workers = [1, 2, 3].map(() => consumers.work(clientOf(port), enough).catch(() => {}));
    await (isLast ? Promise.all(workers) : Promise.race(workers));
    await kill(server);
    await Promise.all(workers);
  }
  expect(consumers.problems).toEqual([]);
  expect(consumers.tried.size).toBe(COUNT);
}, 60_000);
