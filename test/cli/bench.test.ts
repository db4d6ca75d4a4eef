/** `cometmq bench` over the wire, as processes against a broker of this one: small runs, and what they must notice. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Result } from "#src/cli/bench/result.js";
import { RequestCode } from "#src/remoting/codes.js";
import { TestBroker } from "#src/testing/mod.js";
import { COMMAND, run as startCommand } from "../server/command.js";
import { closeAll, onCloseAll } from "../server/harness.js";
import { cometmq, type Outcome, store } from "./store-process.js";

let broker: TestBroker;
let directory: string;

beforeEach(async () => {
  broker = await TestBroker.start({ topics: { T: { queues: 2 } } });
  onCloseAll(() => broker.close());
  directory = mkdtempSync(join(tmpdir(), "cometmq-bench-"));
  onCloseAll(() => rmSync(directory, { recursive: true }));
});

afterEach(closeAll);

const run = (...args: string[]): Promise<Outcome> =>
  cometmq(["bench", ...args, "--namesrv", broker.namesrvAddr, "--warmup", "0"]);

async function result(...args: string[]): Promise<Result> {
  const { status, out, err } = await run(...args, "--json");
  expect([status, err.match(/^cometmq:.*/gm)]).toEqual([0, null]);
  return JSON.parse(out) as Result;
}

test("each case accounts for every message, and leaves no topic and no group behind", async () => {
  const small = ["--count", "500", "--size", "100"];
  const [send, consume, e2e, fanout, manyQueues] = await Promise.all([
    result("send", ...small, "--server-pid", String(process.pid)),
    result("consume", ...small, "--duration", "0.1", "--queues", "3"),
    result("e2e", ...small, "--rate", "2000"),
    result("fanout", ...small, "--groups", "3", "--rate", "max"),
    result("many-queues", ...small, "--queues", "100"),
  ]);
  for (const { account, messages, seconds } of [send, consume, e2e, fanout, manyQueues]) {
    expect(account).toMatchObject({ sent: 500, acknowledged: 500, stored: 500, unanswered: 0, problems: [] });
    expect(account.receipts.map(({ received }) => received)).toEqual(account.receipts.map(() => 500));
    expect(messages).toBeGreaterThanOrEqual(500);
    expect(seconds).toBeGreaterThan(0);
  }
  expect([send, e2e, fanout, manyQueues].map(({ account }) => account.receipts.length)).toEqual([1, 1, 3, 1]);
  expect([send.latency.send?.count, e2e.latency.endToEnd?.count, fanout.latency.endToEnd?.count]).toEqual([
    500, 500, 1500,
  ]);
  expect(consume.latency.pull!.count).toBeGreaterThanOrEqual(500 / 32);
  expect([send.lateness, e2e.lateness?.count]).toEqual([undefined, 500]);
  expect([manyQueues.options.queues, consume.options.queues]).toEqual([100, 3]);
  expect(send.server!.rssMB).toBeGreaterThan(10);
  const { p50Us, p99Us, p999Us, maxUs, points } = send.latency.send!;
  expect([p50Us, p99Us, p999Us, maxUs]).toEqual([p50Us, p99Us, p999Us, maxUs].sort((a, b) => a - b));
  expect(points[0]![0]).toBe(0);
  const [topics, groups] = await Promise.all(
    ["topic", "group"].map((what) => cometmq([what, "list", "--json", "--namesrv", broker.namesrvAddr])),
  );
  expect([topics!.out.trim().split("\n").length, groups!.out]).toEqual([1, ""]);
});

test("a stall of the server is charged to every message that was due in it", async () => {
  const running = result(
    "e2e",
    "--topic",
    "T",
    "--rate",
    "200",
    "--duration",
    "1.5",
    "--size",
    "24",
    "--in-flight",
    "4",
  );
  const maxOf = (): number => broker.messages("T").length;
  while (maxOf() < 50) await new Promise((done) => setTimeout(done, 5));
  // The broker is of this process: nothing is answered meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  const { latency, account, unsentDue } = await running;
  // A busy machine may not get through with all; what it leaves counts as waiting.
  expect([account.sent + unsentDue, account.problems]).toEqual([300, []]);
  // A generator that had waited for answers would have measured one slow message, or a few.
  const [percentile] = latency.send!.points.find(([, us]) => us > 100_000)!;
  expect(percentile).toBeLessThan(85);
  expect(latency.send!.maxUs).toBeGreaterThan(400_000);
});

test("messages that are refused, damaged, or not of the run are named, and the status is 1", async () => {
  let count = 0;
  broker = await TestBroker.start({
    topics: { T: { queues: 2 } },
    hooks: {
      onSend: ({ body }) => {
        count++;
        if (count === 7) body[50]! ^= 1;
        if (count === 8) setImmediate(() => broker.send("T", "of somebody else"));
        return count === 9 ? "not this one" : undefined;
      },
    },
  });
  onCloseAll(() => broker.close());
  const { status, out, err } = await run("send", "--topic", "T", "--count", "200", "--size", "80", "--json");
  expect([status, (JSON.parse(out) as Result).account]).toMatchObject([
    1,
    { sent: 200, acknowledged: 199, refused: 1, stored: 200, foreign: 1, receipts: [{ received: 198, corrupt: 1 }] },
  ]);
  expect(err).toMatch(/1 of the messages sent were refused \(NO_PERMISSION: not this one\)/);
  expect(err).toMatch(/got 1 messages of others/);
  expect(err).toMatch(/received 1 whose checksum is wrong/);
  expect(err).toMatch(/did not receive 1 that were acknowledged, first number 6\./);
});

test("files: JSON and a page that loads nothing; compared, with a status of how much worse", async () => {
  const [a, b, page] = ["a.json", "b.json", "a.html"].map((name) => join(directory, name));
  await run("send", "--count", "200", "--size", "64", "--json", a!, "--html", page!);
  const found = JSON.parse(readFileSync(a!, "utf8")) as Result;
  const html = readFileSync(page!, "utf8");
  expect(html).toContain("<svg");
  expect(html).not.toMatch(/<script|\bsrc=|href=|url\(|@import/);
  const worse = { ...found, messagesPerSecond: found.messagesPerSecond / 2 };
  writeFileSync(b!, JSON.stringify(worse));
  const compare = (...args: string[]): Promise<Outcome> => cometmq(["bench", "compare", ...args]);
  const [table, fine, bad, better, wrong, absent] = await Promise.all([
    compare(a!, b!),
    compare(a!, b!, "--fail-above", "2.1"),
    compare(a!, b!, "--fail-above", "1.9", "--json"),
    compare(b!, a!, "--fail-above", "1.01"),
    compare(a!, page!),
    compare(a!, join(directory, "none.json")),
  ]);
  expect([table, fine, bad, better, wrong, absent].map(({ status }) => status)).toEqual([0, 0, 1, 0, 2, 2]);
  expect(table!.out).toMatch(/messages +\/s +[\d.,]+ +[\d.,]+ +0\.50 +worse/);
  expect(JSON.parse(bad!.out.split("\n")[0]!)).toMatchObject({ figure: "messages", ratio: 0.5, worse: 2 });
  expect(bad!.err).toMatch(/messages is 2\.00 times as bad, more than 1\.9/);
  expect(wrong!.err).toMatch(/a\.html is not JSON/);
  expect(absent!.err).toMatch(/There is no file/);
});

test("files that could not be written are refused before the run", async () => {
  const page = join(directory, "none", "page.html");
  for (const [flag, path] of [
    ["--html", page],
    ["--json", directory],
  ]) {
    const { status, err } = await run("send", "--topic", "Unmade", "--count", "1", flag!, path!);
    expect([status, err]).toEqual([2, expect.stringMatching(new RegExp(`^cometmq: ${flag}: .*COMETMQ_CONFIG`))]);
  }
  const { out } = await cometmq(["topic", "list", "--namesrv", broker.namesrvAddr]);
  expect(out).not.toContain("Unmade");
});

test("Ctrl-C ends a run with the figures up to then", async () => {
  const args = ["bench", "e2e", "--namesrv", broker.namesrvAddr, "--warmup", "0", "--duration", "60", "--json"];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    if (/sent\/s/.test(err)) child.kill("SIGINT");
  });
  const [status] = (await once(child, "close")) as [number];
  expect(status).toBe(130);
  const { interrupted, account, messages } = JSON.parse(out) as Result;
  expect([interrupted, account.problems]).toEqual([true, []]);
  expect(messages).toBeGreaterThan(100);
  expect(account.receipts[0]!.received).toBe(account.sent);
});

test("Ctrl-C ends a run whose server is silent, from the beginning or from then on", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  onCloseAll(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const begin = (name: string, namesrv: string): ChildProcess => {
    const args = [COMMAND, "bench", name, "--namesrv", namesrv, "--warmup", "0", "--timeout", "600000"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    onCloseAll(() => void child.kill("SIGKILL"));
    return child;
  };
  const ended = async (child: ChildProcess, isTime: Promise<unknown>): Promise<[number, string]> => {
    let err = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    await isTime;
    child.kill("SIGINT");
    const [status] = (await once(child, "close")) as [number];
    return [status, err];
  };
  const unheard = ended(begin("send", `127.0.0.1:${port}`), once(silent, "connection"));

  const server = await startCommand(
    "start",
    "--data",
    join(directory, "data"),
    "--namesrv-port",
    "0",
    "--broker-port",
    "0",
    "--grpc-port",
    "0",
  );
  const child = begin("e2e", server.ready.get("namesrv")!);
  const isSending = new Promise<void>((resolve) =>
    child.stderr!.on("data", (text: string) => {
      if (/sent\/s/.test(text) && server.child.kill("SIGSTOP")) resolve();
    }),
  );
  const [status, err] = await ended(child, isSending);
  expect([status, err.includes("No answer within"), /\n\s+at /.test(err)]).toEqual([130, true, false]);
  expect(await unheard).toEqual([
    130,
    expect.stringMatching(/^cometmq: No answer within \d+ ms of the interrupt\..*\n$/),
  ]);
});

test("what was made for a run that cannot begin is deleted again", async () => {
  const onRequest = ({ code }: { code: number }) =>
    code === RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP ? "no groups here" : undefined;
  await using own = await TestBroker.start({ grpc: false, hooks: { onRequest } });
  const names = (): string[] => [...own.server.broker.context.topics.configs().keys()];
  const before = names();
  const { status, err } = await cometmq(["bench", "fanout", "--namesrv", own.namesrvAddr]);
  expect([status, err]).toEqual([1, expect.stringContaining("no groups here")]);
  expect(names()).toEqual(before);
});

test("a server that goes ends the run with the figures up to then", async () => {
  const running = run("e2e", "--topic", "T", "--duration", "60", "--rate", "500", "--json");
  while (broker.messages("T").length < 100) await new Promise((done) => setTimeout(done, 10));
  await broker.close();
  const { status, out, err } = await running;
  const { failure, account, messages } = JSON.parse(out) as Result;
  expect(status).toBe(1);
  expect(messages).toBeGreaterThan(10);
  expect(failure).toMatch(/closed the connection/);
  expect(account).toMatchObject({
    stored: null,
    problems: expect.arrayContaining(["What is stored could not be asked."]),
  });
  expect(err).toMatch(/the run ended early: .* closed the connection/);
  expect(err).not.toContain("    at ");
});

test("what can not be measured is told in one line", async () => {
  const cases: [args: string[], status: number, text: RegExp][] = [
    [["send", "--size", "10"], 2, /at least 24 bytes/],
    [["send", "--rate", "fast"], 2, /messages a second, or max/],
    [["e2e", "--duration", "0"], 2, /above 0/],
    [["send", "--server-pid", "4194304"], 2, /no process 4194304/],
    [["send", "--access-key", "me"], 2, /--access-key needs --secret-key/],
    [["send", "--namesrv", "127.0.0.1:1"], 2, /No connection to 127\.0\.0\.1:1/],
    [["sent"], 2, /unknown command 'sent'|Did you mean send/],
  ];
  const outcomes = await Promise.all(
    cases.map(([args]) =>
      args.includes("--namesrv") || args[0] === "sent" ? cometmq(["bench", ...args]) : run(...args),
    ),
  );
  for (const [i, [args, status, text]] of cases.entries()) {
    expect([args.join(" "), outcomes[i]!.status]).toEqual([args.join(" "), status]);
    expect(outcomes[i]!.err).toMatch(text);
    expect(outcomes[i]!.err).not.toContain("    at ");
  }
});

test("Ctrl-C ends a case of the store in order: the store is closed, and whole", async () => {
  const dir = join(directory, "store");
  const args = ["bench", "store", "put", "--dir", dir, "--secs", "50", "--warmup", "0", "--gib", "20"];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const exit = once(child, "exit");
  // Its queues have a file each: it is at its puts.
  while (!existsSync(join(dir, "consumequeue")) || readdirSync(join(dir, "consumequeue")).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGINT");
  expect(await exit).toEqual([130, null]);
  expect(err).toBe("cometmq: the case ends here, its store is being closed\n");
  expect(existsSync(join(dir, "abort"))).toBe(false);
  const verified = await store("verify", dir);
  expect([verified.status, verified.err]).toEqual([0, ""]);
});
