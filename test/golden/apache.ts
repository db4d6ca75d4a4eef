/**
 * Apache RocketMQ 5.4.0's own store as a judge: opens a store directory with Apache's recovery and tells what it sees, or
 * grows it and reads back. The programs are in test/java/golden. Where a JDK of 17, Maven or its jars are missing, suites
 * made with `describeWithApache` are skipped and say so by name.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe } from "vitest";
import { buildJava, JarsUnavailable, missingTool } from "../java/build.mjs";

const RUN_LIMIT_MS = 120_000;

export function hasJdkAndMaven(): boolean {
  return missingTool() === undefined;
}

/** Built while tests are collected, for that has no time limit and the first build on a machine fetches jars. */
const built = await prepare();

async function prepare(): Promise<{ classPath: string } | { reason: string }> {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { classPath: await buildJava("golden") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

/** Why nothing can be asked of Apache here, or undefined when everything can. */
export const apacheMissing: string | undefined = "reason" in built ? built.reason : undefined;

/** A `describe` whose tests need Apache. */
export function describeWithApache(name: string, body: () => void): void {
  if (apacheMissing !== undefined) process.stderr.write(`skipped: ${name}: ${apacheMissing}\n`);
  describe.skipIf(apacheMissing !== undefined)(name, body);
}

/**
 * What Apache sees in a store after its own recovery: canonical JSON lines, as in data/stores/*.expected.jsonl.
 * `directory` holds `store/` and `broker.conf`, or is a store itself (then `conf` may name the file with the sizes). Apache
 * works on a copy.
 */
export async function apacheDump(directory: string, conf?: string): Promise<string[]> {
  const scratch = await mkdtemp(path.join(tmpdir(), "cometmq-dump-"));
  try {
    const out = path.join(scratch, "out.jsonl");
    await runGolden("Dump", [directory, ...(conf === undefined ? [] : ["--conf", conf]), "--out", out], scratch);
    return linesOf(await readFile(out, "utf8"));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Has Apache open a copy of the store, append, close, open again and read back; rejects with Apache's reason when it does
 * not like the store. Options: `--append N`, `--abort` (as after an abnormal exit), `--topic T`, `--queues Q`, `--conf FILE`,
 * `--out DIR` (leaves the grown store there). The last line has `"stage":"ok"`.
 */
export async function apacheReopen(directory: string, options: readonly string[] = []): Promise<string[]> {
  const scratch = await mkdtemp(path.join(tmpdir(), "cometmq-reopen-"));
  try {
    return linesOf(await runGolden("Reopen", [directory, ...options], scratch));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Has Apache's classes write one of every golden store below `directory`; sizes and contents follow from the seed. */
export async function apacheGenerate(directory: string, seed: number): Promise<void> {
  const scratch = await mkdtemp(path.join(tmpdir(), "cometmq-generate-"));
  try {
    await runGolden("Generate", [directory, String(seed)], scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "");

function runGolden(program: "Dump" | "Generate" | "Reopen", args: readonly string[], scratch: string): Promise<string> {
  if ("reason" in built) throw new Error(built.reason);
  const jvm = [
    "-Xmx768m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dfile.encoding=UTF-8",
    `-Djava.io.tmpdir=${scratch}`,
    `-Duser.home=${scratch}`,
    `-Drocketmq.log.dir=${path.join(scratch, "log")}`,
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
  ];
  return new Promise((resolve, reject) => {
    const child = spawn("java", [...jvm, "-cp", built.classPath, `golden.${program}`, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TZ: "UTC" },
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
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (status === 0) resolve(out);
      else reject(new Error(`Apache's ${program} of ${args[0]} ended with ${status ?? signal}: ${err.slice(-2000)}`));
    });
  });
}
