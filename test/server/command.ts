/** The `cometmq` command as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { onCloseAll } from "./harness.js";

export const COMMAND = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const STARTED_MS = 30_000;

export interface Running {
  readonly child: ChildProcess;
  /** What the line `ready` says, by name. */
  readonly ready: ReadonlyMap<string, string>;
  /** Exit status, or the signal's name. */
  readonly exit: Promise<number | string>;
  readonly stderr: string;
}

/** Starts it and waits until it says that it is ready. What is left running ends with `closeAll`. */
export async function run(...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const exit = new Promise<number | string>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal!)),
  );
  onCloseAll(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const running = { child, ready: new Map<string, string>(), exit, stderr: "" };
  child.stderr.on("data", (chunk: Buffer) => {
    running.stderr += chunk.toString();
  });
  let stdout = "";
  await new Promise<void>((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`cometmq ${args[0]} ${what}: ${running.stderr}`));
    const timer = setTimeout(() => fail("is not ready"), STARTED_MS);
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      const line = /^ready (.*)$/m.exec(stdout)?.[1];
      if (line === undefined) return;
      clearTimeout(timer);
      for (const part of line.split(" ")) running.ready.set(part.split("=")[0]!, part.split("=")[1]!);
      resolve();
    });
    void exit.then((code) => fail(`ended with ${code}`));
  });
  return running;
}

export const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));
