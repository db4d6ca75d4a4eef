/** Runs `cometmq store …` as a process, as a user would: its streams piped, its exit status looked at. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export const COMMAND = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const RUN_LIMIT_MS = 60_000;

export interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

export function cometmq(args: readonly string[], input?: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [COMMAND, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
      timeout: RUN_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      err += chunk;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, out, err }));
  });
}

/** Both of its outputs go to one pipe that has no reader; its exit status. */
export function unread(args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const command = 'exec 3>&1; { "$@" 2>&1; echo $? >&3; } | :';
    const child = spawn("/bin/sh", ["-c", command, "sh", process.execPath, COMMAND, ...args], {
      stdio: ["ignore", "pipe", "ignore"],
      timeout: RUN_LIMIT_MS,
      killSignal: "SIGKILL",
    });
    let status = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      status += chunk;
    });
    child.on("error", reject);
    child.on("close", () => resolve(/^\d+$/m.test(status) ? Number(status) : null));
  });
}

export function store(verb: string, ...args: string[]): Promise<Outcome> {
  return cometmq(["store", verb, ...args]);
}

/** Every line as the object it must be. */
export function jsonLines<T = Record<string, unknown>>(text: string): T[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** One value for everything below a directory: names, contents, times of change. */
export function fingerprint(directory: string): string {
  const hash = createHash("sha256");
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path} ${statSync(path).mtimeMs}\n`);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}
