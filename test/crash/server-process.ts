/** The whole server in a process of its own, to be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import readline from "node:readline";
import { ResponseCode } from "#src/remoting/codes.js";
import type { RemoteAnswer } from "#src/remoting/types.js";

const COMETMQ = path.join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");

export async function startServer(
  directory: string,
  onEnd: (close: () => Promise<void>) => void,
): Promise<{ server: ChildProcess; port: number }> {
  const args = [COMETMQ, "start", "--data", directory, "--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const server = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, CI: "true" },
  });
  onEnd(async () => {
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

export async function killServer(server: ChildProcess): Promise<void> {
  server.kill("SIGKILL");
  await once(server, "exit");
}

/** What the server says to what `send` sends: as a client does, it sends again while the server says that it is busy. */
export async function untilTaken(send: () => Promise<RemoteAnswer>): Promise<RemoteAnswer> {
  for (;;) {
    const answer = await send();
    if (answer.code !== ResponseCode.SYSTEM_BUSY) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
