/** The whole server in a process of its own, to be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import readline from "node:readline";

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
