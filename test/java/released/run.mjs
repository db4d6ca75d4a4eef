/**
 * Runs the integration tests that Apache released as a jar with RocketMQ 4.9.7, as they are, against CometMQ: a name
 * server and two brokers, in processes of their own. One line a test class, and the counts of tests at the end.
 *
 *   node test/java/released/run.mjs [--only REGEX] [--limit SECONDS a class] [--keep]
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { parseArgs } from "node:util";
import { buildJava, JarsUnavailable, missingTool } from "../build.mjs";
import { freeBrokerPort } from "../../clients/ports.mjs";

const COMETMQ = path.join(import.meta.dirname, "..", "..", "..", "bin", "cometmq.mjs");
const BROKERS = ["broker-1", "broker-2"];
/** Bases of other tests, and what starts Apache's own servers inside the test and never asks ours. */
const NOT_OURS = /^(DLedgerProduceAndConsumeIT|BaseBroadCastIT)$/;
const START_LIMIT_MS = 30_000;

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    limit: { type: "string", default: "400" },
    keep: { type: "boolean", default: false },
  },
});

const scratch = mkdtempSync(path.join(tmpdir(), "cometmq-released-"));
const children = new Set();
const counts = { passed: 0, failed: 0, skipped: 0 };

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  if (!options.keep) rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

await main();

async function main() {
  const built = await build();
  if (built.reason !== undefined) {
    counts.skipped++;
    say(`skip Apache's released integration tests: ${built.reason}`);
  } else {
    const namesrv = await startServer("namesrv", ["--namesrv-port", "0"]);
    for (const name of BROKERS) await startBroker(name, namesrv);
    for (const name of testClasses(built.classPath)) await runClass(name, namesrv, built.classPath);
    for (const child of children) await stop(child);
  }
  if (options.keep) say(`# stores and logs: ${scratch}`);
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  say(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
  process.exitCode = counts.failed > 0 || counts.passed + counts.skipped === 0 ? 1 : 0;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

async function build() {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { classPath: await buildJava("released") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

/** By their full names, those of the jar alone: the class path's first entry is what stands in for one of them. */
function testClasses(classPath) {
  const jars = path.dirname(classPath.split(path.delimiter).at(-1));
  const jar = readdirSync(jars).find((file) => /^rocketmq-test-.*-tests\.jar$/.test(file));
  const listed = spawnSync("jar", ["tf", path.join(jars, jar)], { encoding: "utf8" }).stdout;
  return listed
    .split("\n")
    .filter((file) => /IT\.class$/.test(file))
    .map((file) => file.replace(/\.class$/, "").replaceAll("/", "."))
    .filter((name) => !NOT_OURS.test(simpleName(name)) && new RegExp(options.only).test(simpleName(name)))
    .sort();
}

function simpleName(name) {
  return name.slice(name.lastIndexOf(".") + 1);
}

// The servers

async function startBroker(name, namesrv) {
  const conf = path.join(scratch, `${name}.conf`);
  // What Apache's own base class of these tests asks of its brokers.
  writeFileSync(conf, `brokerName=${name}\nenablePropertyFilter=true\nmappedFileSizeCommitLog=104857600\n`);
  const data = path.join(scratch, name);
  const port = String(await freeBrokerPort());
  await startServer("broker", ["-c", conf, "--namesrv", namesrv, "--data", data, "--broker-port", port], name);
}

/** Starts a part of CometMQ. Returns the name server's address, as its ready line has it. */
async function startServer(command, args, name = command) {
  const child = spawn(process.execPath, [COMETMQ, command, ...args], {
    stdio: ["ignore", "pipe", openSync(path.join(scratch, `${name}.log`), "a")],
    env: { ...process.env, CI: "true" },
  });
  children.add(child);
  const timer = setTimeout(() => child.kill("SIGKILL"), START_LIMIT_MS);
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const [, namesrv] = /^ready .*\bnamesrv=(\S+)/.exec(line) ?? [];
    if (namesrv === undefined) continue;
    clearTimeout(timer);
    child.stdout.resume();
    say(`# ${line}`);
    return namesrv;
  }
  throw new Error(`${name}: no ready line: ${readFileSync(path.join(scratch, `${name}.log`), "utf8")}`);
}

/** A server that died meanwhile, or that does not end with status 0, has failed whatever the tests saw. */
async function stop(child) {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), START_LIMIT_MS);
    await once(child, "exit");
    clearTimeout(timer);
  }
  children.delete(child);
  if (child.exitCode === 0) return;
  counts.failed++;
  say(`FAIL ${child.spawnargs.slice(2, 3)}: a server ended with ${child.exitCode ?? child.signalCode}`);
}

// The tests

async function runClass(name, namesrv, classPath) {
  const home = path.join(scratch, simpleName(name));
  mkdirSync(home);
  const log = path.join(home, "junit.log");
  const properties = {
    "cluster.namesrv": namesrv,
    "cluster.brokers": BROKERS.join(","),
    "user.home": home,
    "rocketmq.client.logRoot": home,
  };
  const settings = Object.entries(properties).map(([key, value]) => `-D${key}=${value}`);
  const child = spawn("java", ["-Xmx256m", ...settings, "-cp", classPath, "org.junit.runner.JUnitCore", name], {
    cwd: home,
    stdio: ["ignore", openSync(log, "a"), openSync(path.join(home, "stderr.log"), "a")],
  });
  children.add(child);
  const timer = setTimeout(() => child.kill("SIGKILL"), Number(options.limit) * 1000);
  await once(child, "exit");
  clearTimeout(timer);
  children.delete(child);
  judge(simpleName(name), readFileSync(log, "utf8"), child.signalCode);
}

/** From what JUnit prints: `OK (3 tests)`, or `Tests run: 3,  Failures: 1` below the failures by number. */
function judge(name, text, signal) {
  const [, ok] = /^OK \((\d+) tests?\)$/m.exec(text) ?? [];
  if (ok === "0") {
    counts.skipped++;
    say(`skip ${name}: Apache marks it as ignored`);
    return;
  }
  if (ok !== undefined) {
    counts.passed += Number(ok);
    say(`ok ${name}: ${ok}`);
    return;
  }
  const [, run, failures] = /^Tests run: (\d+), {2}Failures: (\d+)$/m.exec(text) ?? [];
  if (run === undefined) {
    counts.failed++;
    say(`FAIL ${name}: ${signal === "SIGKILL" ? `not within ${options.limit} s` : text.trim().slice(-300)}`);
    return;
  }
  counts.passed += Number(run) - Number(failures);
  counts.failed += Number(failures);
  for (const [, which, why] of text.matchAll(/^\d+\) (\S+)\n(.*)$/gm)) say(`FAIL ${name}: ${which} ${why}`);
}
