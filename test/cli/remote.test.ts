/** The verbs that talk to a cluster, as processes against a broker of this one: output, exit codes, errors. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Cluster } from "#src/cli/remote/cluster.js";
import { Sender } from "#src/cli/remote/sender.js";
import { RequestCode } from "#src/remoting/codes.js";
import { TestBroker } from "#src/testing/mod.js";
import { COMMAND } from "../server/command.js";
import { ANSWER_MS, clientOf, closeAll, onCloseAll, temporaryDirectory } from "../server/harness.js";
import { cometmq, jsonLines, type Outcome } from "./store-process.js";

let broker: TestBroker;

beforeEach(async () => {
  broker = await TestBroker.start({ topics: { T: { queues: 2 } }, config: { recallMessageEnable: true } });
  onCloseAll(() => broker.close());
});

afterEach(closeAll);

/** Queues in turn from the first, where a test does not say otherwise. */
const run = (args: readonly string[], input?: string): Promise<Outcome> =>
  cometmq([...args, "--namesrv", broker.namesrvAddr], input, { COMETMQ_FIRST_QUEUE: "0" });

/** All of the lines, of a verb that succeeds. */
async function json<T = Record<string, unknown>>(...args: string[]): Promise<T[]> {
  const { status, out, err } = await run([...args, "--json"]);
  expect([status, err]).toEqual([0, ""]);
  return jsonLines<T>(out);
}

async function succeeds(...args: string[]): Promise<string> {
  const { status, out, err } = await run(args);
  expect([status, err]).toEqual([0, ""]);
  return out;
}

test("topics: made, seen, changed, deleted", async () => {
  expect(await succeeds("topic", "create", "orders", "--queues", "3", "--type", "FIFO")).toContain("orders created");
  const again = await run(["topic", "create", "orders"]);
  expect([again.status, again.err]).toEqual([1, expect.stringContaining("orders exists already on broker-test")]);
  const rows = await json("topic", "list");
  expect(rows).toEqual([
    { topic: "T", readQueueNums: 2, writeQueueNums: 2, brokers: ["broker-test"], perm: "rw", type: "NORMAL" },
    { topic: "orders", readQueueNums: 3, writeQueueNums: 3, brokers: ["broker-test"], perm: "rw", type: "FIFO" },
  ]);
  expect((await json("topic", "list", "--all")).length).toBeGreaterThan(10);
  await succeeds("topic", "update", "orders", "--read-queues", "5", "--perm", "r");
  const [about] = await json("topic", "describe", "orders");
  expect(about).toMatchObject({ topic: "orders", perm: "r", type: "FIFO", messages: 0, groups: [] });
  expect((about!["queues"] as unknown[]).length).toBe(5);
  expect(await succeeds("topic", "describe", "orders")).toMatch(/perm +r\n[\s\S]*BROKER +QUEUE/);
  await succeeds("topic", "delete", "orders");
  expect((await json("topic", "list")).map(({ topic }) => topic)).toEqual(["T"]);
});

test("messages: from arguments, stdin and files; shown as text and as JSON, by tag, place and count", async () => {
  const sent = await json("produce", "T", "one", "two", "--tag", "a", "--key", "k1 k2", "--property", "colour=blue");
  expect(sent.map(({ queueId, queueOffset }) => [queueId, queueOffset])).toEqual([
    [0, 0],
    [1, 0],
  ]);
  const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join("\n");
  const piped = await run(["produce", "T", "--order-key", "k"], lines);
  expect([piped.status, piped.out]).toEqual([0, "1000 messages sent to T\n"]);
  expect(broker.messages("T").map(({ body }) => body.toString())).toEqual(["one", "two", ...lines.split("\n")]);
  await succeeds("produce", "T", "--file", COMMAND, "--tag", "file", "--queue", "1");
  expect(broker.messages("T").at(-1)!.body.toString()).toContain("#!/usr/bin/env node");

  expect(await succeeds("consume", "T", "--tags", "a")).toBe("one\ntwo\n");
  const [first, ...others] = await json("consume", "T", "--sql", "colour = 'blue'", "--count", "1");
  expect(first).toMatchObject({ topic: "T", body: "one", tags: "a", keys: "k1 k2", msgId: sent[0]!["msgId"] });
  expect(others).toEqual([]);
  expect((await succeeds("consume", "T")).split("\n").length).toBeGreaterThan(1003);
  expect(await succeeds("consume", "T", "--from", "end")).toBe("");
  const [byKey, byId, byPlace] = await Promise.all([
    json("message", "key", "T", "k2"),
    json("message", "id", String(sent[1]!["msgId"]), "--topic", "T"),
    json("message", "id", String(sent[1]!["offsetMsgId"])),
  ]);
  expect(byKey.map(({ body }) => body)).toEqual(["one", "two"]);
  expect([byId[0]!["body"], byPlace[0]!["body"]]).toEqual(["two", "two"]);
  const byTime = await json("message", "time", "T", "--from", "2026-01-01", "--count", "3");
  expect(byTime.map(({ body }) => body)).toEqual(expect.arrayContaining(["one", "two"]));
  expect((await run(["message", "time", "T", "--from", "2030-01-01"])).status).toBe(1);
});

test("queues in turn from one that is told", async () => {
  const sent = await json("produce", "T", "a", "b", "c", "--first-queue", "1");
  expect(sent.map(({ queueId }) => queueId)).toEqual([1, 0, 1]);
});

test("where no queue is told the turn begins anywhere: one message each of many processes fills all queues", async () => {
  broker.createTopic("Wide", { queues: 1000 });
  await using cluster = new Cluster({ namesrv: broker.namesrvAddr, timeoutMs: ANSWER_MS });
  const begun: number[] = [];
  for (let i = 0; i < 3; i++) {
    const sender = await Sender.open(cluster, "Wide");
    const send = () => sender.send({ body: Buffer.from("x"), properties: {} });
    const [first, second] = [await send(), await send()];
    expect(second.queueId).toBe((first.queueId + 1) % 1000);
    begun.push(first.queueId);
  }
  // All three at one queue: once in a million runs.
  expect(new Set(begun).size).toBeGreaterThan(1);
});

test("bytes that are no text are sent as they are, from stdin and from a pipe that has a name", async () => {
  const bytes = Buffer.from([0xff, 0xfe, 0x0a, 0xef, 0xbb, 0xbf, 0x61]);
  const send = [process.execPath, COMMAND, "produce", "T", "--queue", "0", "--namesrv", broker.namesrvAddr];
  const script = '"$@" && cat "$0" | "$@" --lines /dev/fd/3 3<&0';
  const file = join(temporaryDirectory(), "lines");
  writeFileSync(file, bytes);
  const child = spawn("/bin/sh", ["-c", script, file, ...send], { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.end(bytes);
  expect(await once(child, "close")).toEqual([0, null]);
  const bodies = [Buffer.from([0xff, 0xfe]), Buffer.from("\ufeffa")];
  expect(broker.messages("T").map(({ body }) => body)).toEqual([...bodies, ...bodies]);
  const shown = await json("consume", "T", "--count", "2");
  expect(shown.map(({ body, bodyBase64 }) => body ?? bodyBase64)).toEqual(["//4=", "\ufeffa"]);
});

test("where one of many can not be sent, all that were are told of", async () => {
  const empty = await run(["produce", "T", "a", "b", "", "c", "--json"]);
  expect([empty.status, empty.err]).toEqual([
    2,
    expect.stringMatching(/^cometmq: 2 messages sent\. An argument is empty/),
  ]);
  expect(jsonLines(empty.out).length).toBe(2);
  const refused = await run(["produce", "T"], `1\n2\n${"x".repeat(5_000_000)}\n4\n`);
  expect([refused.status, refused.out]).toEqual([1, ""]);
  expect(refused.err).toMatch(/^cometmq: 3 messages sent\. .* MESSAGE_ILLEGAL/);
  expect(broker.messages("T").length).toBe(5);
});

test("a directory as stdin is told, not taken for one that is empty", async () => {
  const directory = openSync(import.meta.dirname, "r");
  onCloseAll(() => closeSync(directory));
  const store = join(temporaryDirectory(), "new");
  const runs = [
    ["produce", "T"],
    ["store", "import", store],
  ].map(async (args) => {
    const env = { ...process.env, NAMESRV_ADDR: broker.namesrvAddr };
    const child = spawn(process.execPath, [COMMAND, ...args], { stdio: [directory, "pipe", "pipe"], env });
    const closed = once(child, "close");
    const [out, err] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
    const line = "cometmq: stdin is a directory, not a file. Correct the named option. (COMETMQ_CONFIG)\n";
    expect([args, (await closed)[0], out, err]).toEqual([args, 2, "", line]);
  });
  await Promise.all(runs);
  expect(existsSync(store)).toBe(false);
});

test("a group: consumes, lags, is set back", async () => {
  await succeeds("produce", "T", "a", "b", "c");
  expect((await succeeds("consume", "T", "--group", "G", "--count", "2")).split("\n").length).toBe(3);
  expect(await json("lag")).toEqual([{ group: "G", members: 0, lag: 1 }]);
  expect((await run(["lag", "G", "--max", "0"])).status).toBe(1);
  expect((await succeeds("consume", "T", "--group", "G")).split("\n").length).toBe(2);
  expect((await run(["lag", "G", "--max", "0"])).status).toBe(0);
  const rows = await json("offset", "reset", "G", "T", "--to", "first", "--queue", "0", "--dry-run");
  expect(rows).toEqual([{ topic: "T", brokerName: "broker-test", queueId: 0, from: 2, to: 0 }]);
  await succeeds("offset", "reset", "G", "T", "--to", "first", "--queue", "0");
  expect((await json("lag", "G")).map(({ queueId, lag }) => [queueId, lag])).toEqual([
    [0, 2],
    [1, 0],
  ]);
  await succeeds("group", "create", "H", "--retries", "3", "--ordered");
  await succeeds("group", "update", "H", "--no-consume");
  expect(await json("group", "list")).toMatchObject([
    { group: "G", retryMaxTimes: 16, ordered: false, consume: true },
    { group: "H", retryMaxTimes: 3, ordered: true, consume: false },
  ]);
  expect((await json("group", "describe", "G"))[0]).toMatchObject({ group: "G", lag: 2, members: [] });
  await succeeds("group", "delete", "H");
  expect((await run(["group", "describe", "H"])).status).toBe(1);
});

test("consume follows what comes and ends in order at Ctrl-C", async () => {
  const args = ["consume", "T", "-f", "--group", "F", "--body-only", "--namesrv", broker.namesrvAddr];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  const exit = once(child, "exit");
  for (let i = 0; i < 40 && !out.includes("9\n"); i++) await succeeds("produce", "T", `${i}`);
  expect(out).toMatch(/^0\n1\n2\n/);
  child.kill("SIGINT");
  expect((await exit)[0]).toBe(0);
  const { offsets } = broker.server.broker.context;
  const committed = offsets.queryOffset("F", "T", 0) + Math.max(0, offsets.queryOffset("F", "T", 1));
  expect(committed).toBe(out.trim().split("\n").length);
});

test("Ctrl-C while lines are typed: those before it are sent and counted", async () => {
  const args = ["produce", "T", "--namesrv", broker.namesrvAddr];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  const closed = once(child, "close");
  child.stdin.write("one\ntwo\nthr");
  while (broker.messages("T").length < 2) await new Promise((done) => setTimeout(done, 10));
  child.kill("SIGINT");
  expect([(await closed)[0], out]).toEqual([130, "2 messages sent to T\n"]);
  expect(broker.messages("T").length).toBe(2);
});

test("a second Ctrl-C ends it also where a pipe with a name stays silent", async () => {
  const fifo = join(temporaryDirectory(), "fifo");
  execFileSync("mkfifo", [fifo]);
  const writer = openSync(fifo, "r+");
  onCloseAll(() => closeSync(writer));
  const args = ["produce", "T", "--lines", fifo, "--namesrv", broker.namesrvAddr];
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  const closed = once(child, "close");
  writeSync(writer, "one\n");
  while (broker.messages("T").length < 1) await new Promise((done) => setTimeout(done, 10));
  child.kill("SIGINT");
  expect(String((await once(child.stdout, "data"))[0])).toBe("1 message sent to T\n");
  child.kill("SIGINT");
  expect(await closed).toEqual([null, "SIGINT"]);
});

test("a topic that does not exist yet is made by its first message, where the broker lets it", async () => {
  const sent = await json("produce", "fresh", "a", "b", "c", "d", "e");
  expect(sent.map(({ queueId }) => queueId)).toEqual([0, 1, 2, 3, 0]);
  expect(broker.messages("fresh").map(({ body }) => body.toString())).toEqual(["a", "b", "c", "d", "e"]);
  const illegal = await run(["produce", "bad name", "a"]);
  expect([illegal.status, illegal.err]).toEqual([1, expect.stringContaining("illegal characters")]);
  await succeeds("config", "set", "autoCreateTopicEnable=false");
  const refused = await run(["produce", "other", "a"]);
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("other")]);
  expect(broker.messages("other")).toEqual([]);
});

test("an expression that the broker does not take is refused, also where there is no message", async () => {
  for (const more of [[], ["--follow"]]) {
    const { status, out, err } = await run(["consume", "T", "--sql", "a = (", ...more]);
    expect([status, out, err]).toEqual([1, "", expect.stringMatching(/^cometmq: .* SUBSCRIPTION_PARSE_FAILED.*\n$/)]);
  }
  expect(await succeeds("consume", "T", "--sql", "a = 1")).toBe("");
});

test("dead letters are shown, and sent again once each", async () => {
  const [sent] = await json("produce", "T", "hard", "--property", "colour=blue");
  const client = clientOf(broker.server.port);
  const offset = broker.messages("T")[0]!.phyOffset;
  const back = { group: "G", originTopic: "T", offset, delayLevel: -1, originMsgId: String(sent!["msgId"]) };
  const answer = await client.call(RequestCode.CONSUMER_SEND_MSG_BACK, back, undefined, ANSWER_MS);
  expect(answer.code).toBe(0);
  expect(await json("dlq", "list", "G")).toMatchObject([{ originTopic: "T", body: "hard" }]);
  // Nobody has made a retry topic, and it is not to be made as others are.
  await succeeds("topic", "delete", "%RETRY%G");
  await succeeds("config", "set", "autoCreateTopicEnable=false");
  await json("dlq", "redrive", "G");
  const [again] = broker.messages("%RETRY%G");
  expect(again).toMatchObject({ reconsumeTimes: 0 });
  expect(again!.properties.get("RETRY_TOPIC")).toBe("T");
  expect(again!.properties.get("colour")).toBe("blue");
  expect(await succeeds("dlq", "redrive", "G")).toBe("0 messages sent again to the group G\n");
  expect(await json("dlq", "list", "G")).toEqual([]);
  await succeeds("dlq", "redrive", "G", "--all", "--to", "T");
  expect(broker.messages("T").map(({ body }) => body.toString())).toEqual(["hard", "hard"]);
});

test("timers: counted, and one taken back", async () => {
  const [sent] = await json("produce", "T", "later", "--delay", "1h");
  expect(await json("timer", "list")).toMatchObject([{ topic: "T", count: 1 }]);
  await json("produce", "T", "sooner", "--delay", "30m", "--key", "k");
  await succeeds("topic", "create", "Other");
  await json("produce", "Other", "another", "--delay", "30m");
  const listed = await json("timer", "list", "T");
  expect(listed.map(({ keys }) => keys)).toEqual(["k", ""]);
  const handle = String(sent!["recallHandle"]);
  expect(listed[1]).toMatchObject({ msgId: sent!["msgId"], recallHandle: handle });
  expect(Date.parse(String(listed[1]!["due"])) - Date.parse(String(listed[0]!["due"]))).toBeGreaterThan(1_700_000);
  expect(await json("timer", "list", "T", "--count", "1")).toEqual([listed[0]]);
  expect(await succeeds("timer", "cancel", "T", handle)).toBe(`${sent!["msgId"]} will not be delivered\n`);
  expect(await json("timer", "list", "T")).toEqual([listed[0]]);
  await broker.advance("2h");
  expect(broker.messages("T").map(({ body }) => body.toString())).toEqual(["sooner"]);
  expect((await run(["timer", "cancel", "T", "nonsense"])).status).toBe(1);
});

test("properties of servers are shown and changed", async () => {
  await succeeds("config", "set", "fileReservedTime=48", "--broker", broker.server.brokerAddr);
  expect(await json("config", "get", "fileReservedTime", "brokerName")).toEqual([
    { server: "broker-test", name: "fileReservedTime", value: "48" },
    { server: "broker-test", name: "brokerName", value: "broker-test" },
  ]);
  expect((await json("config", "get", "--name-server")).length).toBeGreaterThan(5);
  const refused = await run(["config", "set", "listenPort=1"]);
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("listenPort can not be changed")]);
});

test("what can not be done is told in one line, with a status that says of what kind it is", async () => {
  await succeeds("produce", "T", "there");
  const cases: [args: string[], status: number, text: RegExp][] = [
    [["topic", "list", "--namesrv", "127.0.0.1:1"], 2, /No connection to 127\.0\.0\.1:1 \(ECONNREFUSED\)/],
    [["topic", "list", "--namesrv", "nowhere"], 2, /--namesrv: "nowhere" is not host:port/],
    [["produce", "absent", "x", "--namesrv", "127.0.0.1:1"], 2, /No connection to 127.0.0.1:1/],
    [["consume", "absent"], 1, /No route to absent/],
    [["consume", "T", "--sql", "a = ="], 1, /SUBSCRIPTION_PARSE_FAILED/],
    [["produce", "T", "--file", "/no/such/file"], 2, /There is no file/],
    [["produce", "T", "x", "--queue", "7"], 1, /T has no queue 7/],
    [["topic", "describe", "absent"], 1, /No route to absent/],
    [["topic", "create", "no/name"], 1, /INVALID_PARAMETER/],
    [["topic", "list", "--timeout", "0"], 2, /whole number above 0/],
    [["topic", "lst"], 2, /Did you mean list/],
    [["tpoic"], 2, /unknown command 'tpoic'\n\(Did you mean topic\?\)/],
    [["start", "--broker-port", "99999"], 2, /a number from 0 to 65535/],
    [["topic", "list", "--namesrv", broker.server.brokerAddr], 2, /is no name server/],
    [["consume", "T", "--queue", "7"], 1, /T has no queue 7/],
    [["offset", "reset", "G", "T", "--to", "first", "--queue", "7"], 1, /T has no queue 7/],
    [["produce", "T", "--lines", "/no/such/file"], 2, /There is no file/],
    [["dlq", "list", "nobody"], 1, /nobody has no dead letters/],
    [["config", "get", "--broker", "other"], 1, /knows no broker named other\./],
    [["consume", "T", "--tags", "a", "--sql", "b = 1"], 2, /cannot be used with option '--tags/],
    [["produce", "T", "x", "--property", "a=b\u0002c"], 2, /separate properties/],
    [["produce", "T", "x", "--first-queue", "2"], 1, /T has no queue 2/],
    [["produce", "T", "x", "--lines", "/"], 2, /^cometmq: \/ is a directory, not a file\. .*\n$/],
    [["produce", "T", "--file", "/"], 2, /^cometmq: \/ is a directory, not a file\. .*\n$/],
    [["topic", "create", "N", "--cluster", "other"], 1, /knows no broker of the cluster other\./],
    [["topic", "create", "N", "--queues", "2147483648"], 2, /from 1 to 2147483647/],
    [["group", "create", "N", "--retries", "2147483648"], 2, /from 0 to 2147483647/],
    [["start", "-c", "/"], 2, /^cometmq: \/ is a directory, not a file\. .*\n$/],
    [["start", "--data", ""], 2, /^cometmq: --data is "", which is no path\. .*\n$/],
    [["timer", "list", "absent"], 1, /No route to absent/],
  ];
  for (let i = 0; i < cases.length; i += 4) {
    const outcomes = await Promise.all(
      cases
        .slice(i, i + 4)
        .map(([args]) => (args.includes("--namesrv") || args[0] === "start" ? cometmq(args) : run(args))),
    );
    for (const [j, { status, out, err }] of outcomes.entries()) {
      const [args, expected, text] = cases[i + j]!;
      expect([args.join(" "), status, out]).toEqual([args.join(" "), expected, ""]);
      expect(err).toMatch(text);
      expect(err).not.toContain("    at ");
    }
  }
});
