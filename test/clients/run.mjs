/**
 * Drives Apache's unmodified clients against a server and judges it by their answers: the cases of cases.txt, then a bulk
 * of messages that must all arrive, whole and in order. Prints one line a case and the count at the end. The Go, Python
 * and Rust clients, which take their own toolchains and minutes to build, run only where --clients names them.
 *
 *   node test/clients/run.mjs                     starts CometMQ on a store of its own, on ports that were free
 *   --namesrv HOST:PORT --broker HOST:PORT        takes a running server instead, Apache's for instance
 *   --grpc HOST:PORT                              its gRPC endpoint; without one the gRPC cases are skipped
 *   --only REGEX                                  other cases than the listed ones, by name without the client
 *   --clients REGEX                               only these clients, by their names in cases.txt; 'go|python|rust' too
 *   --bulk COUNT                                  messages of the bulk (10000, and 0 with --only)
 *   --limit SECONDS                               a client program's time (300)
 *   --client 4.9.7                                runs the Remoting cases with that client: those listed that it has
 *   --proxy                                       the gRPC clients only, through Apache's proxy in cluster mode
 *   --secured                                     instead of all these: a server that asks who clients are
 *   --tls                                         instead of all these: servers and clients with certificates
 *   --keep                                        leaves the store and the logs, and says where
 */
import { spawn } from "node:child_process";
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildJava, JarsUnavailable, missingTool } from "../java/build.mjs";
import { proxyCommand, proxyListens } from "./apache-proxy.mjs";
import { ClientUnavailable, installNodeProgram, NODE_PROGRAM } from "./node-client.mjs";
import { installToolchainProgram, TOOLCHAIN_CLIENTS, TOOLCHAIN_TOPICS } from "./toolchain-clients.mjs";
import { freeBrokerPort, freePort } from "./ports.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const COMETMQ = path.join(HERE, "..", "..", "bin", "cometmq.mjs");
const PROGRAMS = { "java-remoting-5.4.0": "Conformance", mqadmin: "Admin" };
const PROGRAMS_4 = { "java-remoting-4.9.7": "Conformance" };
/** What the 4.x client cannot say: times other than levels, recall, POP by configuration, the choice of a compression. */
const ONLY_5 = /^(delay-ms|delay-sec|deliver-at|recall.*|pop-.*|compress-.*)$/;
const NODE_CLIENT = "node-grpc";
const JAVA_GRPC_CLIENT = "java-grpc";
const JAVA_GRPC_PROGRAM = path.join(HERE, "programs-grpc");
const BULK_COUNT = 10_000;
const START_LIMIT_MS = 30_000;
const PROXY_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 15_000;

const { values: options } = parseArgs({
  options: {
    namesrv: { type: "string" },
    broker: { type: "string" },
    grpc: { type: "string" },
    only: { type: "string" },
    clients: { type: "string", default: "" },
    bulk: { type: "string" },
    limit: { type: "string", default: "300" },
    client: { type: "string", default: "5.4.0" },
    proxy: { type: "boolean", default: false },
    secured: { type: "boolean", default: false },
    tls: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

/** Of the first user of a server with access control, and of the one that brokers are to name servers. */
const ROOT_PASSWORD = "root-secret-1";
const SECURED_CONF = [
  "brokerName=broker-a",
  "authenticationEnabled=true",
  "authorizationEnabled=true",
  `initAuthenticationUser={"username":"root","password":"${ROOT_PASSWORD}"}`,
  'innerClientAuthenticationCredentials={"accessKey":"inner","secretKey":"inner-secret"}',
  "",
];

const old = options.client === "4.9.7";
if (!old && options.client !== "5.4.0") throw new Error(`--client ${options.client}: 5.4.0 and 4.9.7 are known`);
if (options.proxy && (old || options.secured)) throw new Error("--proxy is for the gRPC clients of an open server");
const programs = options.proxy ? {} : old ? PROGRAMS_4 : PROGRAMS;

/** Without --clients, of the clients that need no toolchain of their own. */
const wantedClients =
  options.clients === "" ? { test: (client) => !(client in TOOLCHAIN_CLIENTS) } : new RegExp(options.clients);
const scratch = mkdtempSync(path.join(tmpdir(), "cometmq-clients-"));
const children = new Set();
const counts = { ok: 0, FAIL: 0, skip: 0 };

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  if (!options.keep) rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

await main();

async function main() {
  if (options.secured) return securedRun();
  if (options.tls) return overTls();
  const cases = options.only === undefined ? listedCases() : [];
  const isWhole = options.only === undefined && !options.proxy;
  const bulkCount = Number(options.bulk ?? (isWhole ? BULK_COUNT : 0));
  const all = [...cases, ...(bulkCount > 0 ? [`bulk/push-${bulkCount}`] : [])];
  const built = await build();
  if (built.reason !== undefined) {
    for (const name of all) report("skip", name, built.reason);
  } else {
    const server = options.proxy ? await startBehindProxy() : await startServer();
    if (server !== undefined) {
      for (const client of Object.keys(programs)) await runClient(client, cases, server, built.classPath);
      if (!old) {
        await runNodeClient(cases, server, built.classPath);
        await runJavaGrpcClient(cases, server, built.classPath);
        for (const client of Object.keys(TOOLCHAIN_CLIENTS)) {
          await runToolchainClient(client, cases, server, built.classPath);
        }
      }
      if (bulkCount > 0) await runBulk(bulkCount, server, built.classPath);
      await server.stop();
    }
  }
  finishRun();
}

function finishRun() {
  if (options.keep) say(`# store and logs: ${scratch}`);
  say(`${counts.ok} passed, ${counts.FAIL} failed${counts.skip > 0 ? `, ${counts.skip} skipped` : ""}`);
  process.exitCode = counts.FAIL > 0 || counts.ok + counts.skip === 0 ? 1 : 0;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** `result` is ok, FAIL or skip. */
function report(result, name, why) {
  counts[result]++;
  say(why === undefined || why === "" ? `${result} ${name}` : `${result} ${name}: ${why}`);
}

function listedCases() {
  return readFileSync(path.join(HERE, "cases.txt"), "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
    .flatMap((line) => (old ? oldName(line) : [line]))
    .filter((line) => wantedClients.test(line.split("/")[0]))
    .filter((line) => !options.proxy || /^(node|java)-grpc\//.test(line));
}

/** The same case of the 4.x client, if it has it. */
function oldName(line) {
  const [client, name] = line.split("/");
  return client === "java-remoting-5.4.0" && !ONLY_5.test(name) ? [`java-remoting-4.9.7/${name}`] : [];
}

async function build() {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { classPath: await buildJava(old ? "clients-4.9.7" : "clients") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

/** Starts a child whose lines go to `onLine`, whose stderr goes to a file, and which ends with this process. */
function start(name, command, args, env, onLine) {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    cwd: scratch,
    env: { ...process.env, ...env },
  });
  children.add(child);
  const errors = path.join(scratch, `${name}.err`);
  child.stderr.pipe(createWriteStream(errors));
  readline.createInterface({ input: child.stdout }).on("line", onLine);
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status, signal) => resolve(status ?? signal));
  }).finally(() => children.delete(child));
  return { child, ended, lastErrors: () => tail(errors) };
}

function tail(file) {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines
    .filter((line) => !/^\s*at /.test(line))
    .slice(-5)
    .join(" | ")
    .slice(-600);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

// The server

/** On a store of its own, with the lines of a broker.conf. */
async function startServer(conf = []) {
  if (options.namesrv !== undefined || options.broker !== undefined) {
    if (options.namesrv === undefined || options.broker === undefined)
      throw new Error("--namesrv and --broker go together");
    return { namesrv: options.namesrv, broker: options.broker, grpc: options.grpc, stop: async () => {} };
  }
  let ready;
  const serving = new Promise((resolve) => {
    ready = resolve;
  });
  const ports = ["--namesrv-port", "0", "--broker-port", String(await freeBrokerPort()), "--grpc-port", "0"];
  const folder = mkdtempSync(path.join(scratch, "server-"));
  const args = [COMETMQ, "start", "--data", path.join(folder, "data"), ...ports];
  if (conf.length > 0) {
    const file = path.join(folder, "broker.conf");
    writeFileSync(file, conf.join("\n"));
    args.push("--config", file);
  }
  const env = { CI: "true", ...(options.secured ? { COMETMQ_LOG_LEVEL: "trace" } : {}) };
  const server = start("server", process.execPath, args, env, (line) => {
    if (line.startsWith("ready")) ready(line);
  });
  const line = await Promise.race([serving, server.ended, sleep(START_LIMIT_MS)]);
  const [, namesrv] = /\bnamesrv=(\S+)/.exec(line) ?? [];
  const [, broker] = /\bbroker=(\S+)/.exec(line) ?? [];
  const [, grpc] = /\bgrpc=(\S+)/.exec(line) ?? [];
  if (namesrv === undefined || broker === undefined) {
    report(
      "FAIL",
      "server/start",
      `no ready line with its addresses (${line ?? "nothing in time"}): ${server.lastErrors()}`,
    );
    return undefined;
  }
  say(`# ${line}`);
  return { namesrv, broker, grpc, stop: () => stopServer(server) };
}

/** The server, and Apache's proxy in front of it: its gRPC clients are those of the proxy. */
async function startBehindProxy() {
  const server = await startServer();
  if (server === undefined) return undefined;
  const grpc = await freePort();
  const home = path.join(scratch, "proxy");
  const command = await proxyCommand(home, server.namesrv, grpc, await freePort());
  const proxy = start("proxy", "java", command, {}, () => {});
  const up = await Promise.race([
    proxyListens(grpc, PROXY_LIMIT_MS),
    proxy.ended.then((status) => `it ended with ${status}: ${proxy.lastErrors()}`),
  ]);
  if (up !== undefined) {
    report("FAIL", "proxy/start", up);
    await server.stop();
    return undefined;
  }
  say(`# Apache's proxy grpc=127.0.0.1:${grpc}`);
  const stop = async () => {
    proxy.child.kill("SIGKILL");
    await proxy.ended;
    await server.stop();
  };
  return { ...server, grpc: `127.0.0.1:${grpc}`, stop };
}

/** A server that died meanwhile, or does not end with status 0 when asked to, has failed whatever the clients saw. */
async function stopServer(server) {
  const early = server.child.exitCode ?? server.child.signalCode;
  if (early === null) server.child.kill("SIGTERM");
  const status = await Promise.race([server.ended, sleep(STOP_LIMIT_MS)]);
  if (early !== null) report("FAIL", "server/stop", `it had died with ${early}: ${server.lastErrors()}`);
  else if (status === 0) report("ok", "server/stop");
  else
    report(
      "FAIL",
      "server/stop",
      `SIGTERM: ${status ?? "still there"} after at most ${STOP_LIMIT_MS} ms: ${server.lastErrors()}`,
    );
}

// The clients

function startJava(name, server, classPath, args, env, onLine) {
  const home = path.join(scratch, name);
  mkdirSync(home, { recursive: true });
  const jvm = [
    "-Xmx640m",
    `-Duser.home=${home}`,
    `-Drocketmq.home.dir=${home}`,
    `-Drocketmq.client.logRoot=${path.join(home, "logs")}`,
  ];
  const addresses = { NAMESRV_ADDR: server.namesrv, BROKER_ADDR: server.broker, OUT: "" };
  return start(name, "java", [...jvm, "-cp", classPath, ...args], { ...addresses, ...env }, onLine);
}

/** Waits for a program's end, within its limit. Returns why it ended badly, or undefined. */
async function finish(program) {
  const status = await Promise.race([program.ended, sleep(Number(options.limit) * 1000)]);
  if (status === undefined) {
    program.child.kill("SIGKILL");
    await program.ended;
    return `not within the limit of ${options.limit} s`;
  }
  return status === 0 || status === 1 ? undefined : `the program ended with ${status}: ${program.lastErrors()}`;
}

/** As a regular expression; empty for none. */
function casesToRun(client, missing) {
  if (!wantedClients.test(client)) return "";
  return options.only ?? [...missing].map((name) => name.slice(client.length + 1)).join("|");
}

async function runClient(client, listed, server, classPath) {
  const missing = new Set(listed.filter((name) => name.startsWith(`${client}/`)));
  const only = casesToRun(client, missing);
  if (only === "") return;
  const program = startJava(client, server, classPath, [programs[client]], { ONLY: only }, verdicts(missing));
  await judge(client, program, missing);
}

/** Reports each line that is a verdict, and takes its case out of `missing`. */
function verdicts(missing) {
  return (line) => {
    const [, result, name, why] = /^(ok|FAIL) (\S+?)(?:: (.*))?$/.exec(line) ?? [];
    if (result === undefined) return;
    missing.delete(name);
    report(result, name, why);
  };
}

async function judge(client, program, missing) {
  const bad = await finish(program);
  for (const name of missing) report("FAIL", name, bad ?? `no verdict: ${program.lastErrors()}`);
  if (bad !== undefined && missing.size === 0) report("FAIL", `${client}/finish`, bad);
}

/** The listed cases of a gRPC client and what to run of it; undefined when nothing, or when there is no endpoint. */
function casesOf(client, listed, server) {
  const missing = new Set(listed.filter((name) => name.startsWith(`${client}/`)));
  const only = casesToRun(client, missing);
  if (only === "") return undefined;
  const skip = (reason) => {
    for (const name of missing) report("skip", name, reason);
  };
  if (server.grpc !== undefined) return { missing, only, skip };
  skip("no --grpc was given");
  return undefined;
}

/**
 * Makes the topics and groups of `topics.txt` with Apache's admin client, with the types and policies that gRPC clients
 * are told. Returns what the client's program is to know.
 */
async function prepare(client, folder, only, server, classPath) {
  const env = { PREFIX: `${client[0]}${Date.now()}`, GRPC_ENDPOINT: server.grpc, ONLY: only, OUT: "" };
  const prepared = startJava(`prepare-${client}`, server, classPath, ["Prep"], env, () => {});
  createReadStream(path.join(folder, "topics.txt")).pipe(prepared.child.stdin);
  const bad = (await finish(prepared)) ?? ((await prepared.ended) === 0 ? undefined : prepared.lastErrors());
  if (bad !== undefined) report("FAIL", `${client}/prepare`, bad);
  return env;
}

async function runNodeClient(listed, server, classPath) {
  const { missing, only, skip } = casesOf(NODE_CLIENT, listed, server) ?? {};
  if (missing === undefined) return;
  let file;
  try {
    file = await installNodeProgram(path.join(scratch, NODE_CLIENT));
  } catch (error) {
    if (error instanceof ClientUnavailable) return skip(error.message);
    throw error;
  }
  const env = await prepare(NODE_CLIENT, NODE_PROGRAM, only, server, classPath);
  // The client writes a log where its home is.
  const home = { ...env, HOME: scratch };
  const program = start(NODE_CLIENT, process.execPath, [file], home, verdicts(missing));
  await judge(NODE_CLIENT, program, missing);
}

/** The cases of the programs for a server with access control, whose topic for gRPC the first of them makes. */
async function securedRun() {
  const built = await build();
  if (built.reason !== undefined) {
    report("skip", "secured", built.reason);
    return finishRun();
  }
  const server = await startServer(SECURED_CONF);
  if (server === undefined) return finishRun();
  const prefix = `s${Date.now()}`;
  const env = { ROOT_PASSWORD, ONLY: options.only ?? "", PREFIX: prefix, GRPC_TOPIC: `${prefix}-secured` };
  const verdict = verdicts(new Set());
  const java = startJava("secured-java", server, built.classPath, ["Secured"], env, verdict);
  await judge("secured-java", java, new Set());
  await runSecuredNode(server, env, verdict);
  await server.stop();
  judgeLog();
  if (counts.ok < 2) report("FAIL", "secured", "no case was run");
  finishRun();
}

/** Of all that the server has said with everything logged: none of the passwords that the cases were run with. */
function judgeLog() {
  const lines = readFileSync(path.join(scratch, "server.err"), "utf8").split("\n");
  const told = lines.filter((line) => /pw-\d|root-secret|inner-secret|"(secretKey|password)":"[^"]/.test(line));
  const isLogged = lines.some((line) => line.includes("a user was"));
  if (isLogged && told.length === 0) report("ok", "secured/no-secret-in-the-log", `${lines.length} lines`);
  else report("FAIL", "secured/no-secret-in-the-log", told[0]?.slice(0, 200) ?? "nothing was logged");
}

async function overTls() {
  const built = await build();
  if (built.reason !== undefined) report("skip", "tls", built.reason);
  else {
    const { tlsRun } = await import("./tls.mjs");
    await tlsRun({ scratch, classPath: built.classPath, startServer, startJava, verdicts, judge, report });
  }
  finishRun();
}

async function runSecuredNode(server, env, verdict) {
  let file;
  try {
    file = await installNodeProgram(path.join(scratch, NODE_CLIENT));
  } catch (error) {
    if (error instanceof ClientUnavailable) return report("skip", "secured-node", error.message);
    throw error;
  }
  const program = start(
    "secured-node",
    process.execPath,
    [path.join(path.dirname(file), "secured.mjs")],
    { ...env, GRPC_ENDPOINT: server.grpc, OUT: "", HOME: scratch },
    verdict,
  );
  await judge("secured-node", program, new Set());
}

async function runJavaGrpcClient(listed, server, adminClassPath) {
  const { missing, only, skip } = casesOf(JAVA_GRPC_CLIENT, listed, server) ?? {};
  if (missing === undefined) return;
  let classPath;
  try {
    classPath = await buildJava("clients-grpc");
  } catch (error) {
    if (error instanceof JarsUnavailable) return skip(error.message);
    throw error;
  }
  const env = await prepare(JAVA_GRPC_CLIENT, JAVA_GRPC_PROGRAM, only, server, adminClassPath);
  const program = startJava(JAVA_GRPC_CLIENT, server, classPath, ["GrpcClient"], env, verdicts(missing));
  await judge(JAVA_GRPC_CLIENT, program, missing);
}

/** What its client can only do in plain text, or is to do there too, is a program of its own beside the others. */
async function runToolchainClient(client, listed, server, adminClassPath) {
  const { missing, only, skip } = casesOf(client, listed, server) ?? {};
  if (missing === undefined) return;
  let command;
  try {
    command = await installToolchainProgram(client);
  } catch (error) {
    if (error instanceof ClientUnavailable) return skip(error.message);
    throw error;
  }
  const prepared = await prepare(client, TOOLCHAIN_TOPICS, only, server, adminClassPath);
  const { plainCases, env } = TOOLCHAIN_CLIENTS[client];
  const isPlain = (name) => plainCases.test(name.slice(client.length + 1));
  await Promise.all(
    [true, false].map(async (tls) => {
      const cases = new Set([...missing].filter((name) => isPlain(name) !== tls));
      const names = [...cases].map((name) => name.slice(client.length + 1)).join("|");
      if (cases.size === 0 && (options.only === undefined || !tls)) return;
      const own = await env(tls, server.grpc, scratch);
      const chosen = { ...prepared, ...own, ONLY: options.only ?? names, HOME: scratch };
      const [program, ...args] = command;
      const title = tls ? client : `${client}-plain`;
      await judge(client, start(title, program, args, chosen, verdicts(cases)), cases);
    }),
  );
}

async function runBulk(count, server, classPath) {
  const name = `bulk/push-${count}`;
  let judged = false;
  const program = startJava("bulk", server, classPath, ["Bulk", String(count)], {}, (line) => {
    const [, result, why] = /^(ok|FAIL) bulk\/\S+: (.*)$/.exec(line) ?? [];
    if (result === undefined) return;
    judged = true;
    report(result, name, why);
  });
  const bad = await finish(program);
  if (!judged) report("FAIL", name, bad ?? `no verdict: ${program.lastErrors()}`);
}
