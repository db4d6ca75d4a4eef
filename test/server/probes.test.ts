/**
 * Each field of each request, missing and wrong in every way, and each body: answered with the code that Apache 5.4.0
 * gives for the same bytes, with a remark that says what is wrong, and without a trace outside of the store.
 *
 * COMETMQ_PROBE=NAMESRV_PORT,BROKER_PORT asks a running Apache and writes its answers to test/golden/data/probes.jsonl.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ResponseCode } from "#src/remoting/codes.js";
import { closeAll, type StartedBroker, startBroker, startNameServer, temporaryDirectory, treeOf } from "./harness.js";
import { type Probe, type ProbeAnswer, Prober, preparations, probes } from "./probes.js";

const RECORDED = join(import.meta.dirname, "..", "golden", "data", "probes.jsonl");
const RECORD_FROM = process.env["COMETMQ_PROBE"];

afterAll(closeAll);

async function askAll(ports: { namesrv: number; broker: number }, limitMs: number): Promise<Map<string, ProbeAnswer>> {
  const probers = { namesrv: new Prober(ports.namesrv, limitMs), broker: new Prober(ports.broker, limitMs) };
  const answers = new Map<string, ProbeAnswer>();
  for (const bytes of preparations()) await probers.broker.ask((opaque) => withOpaque(bytes, opaque));
  for (const { name, server, bytes } of probes()) answers.set(name, await probers[server].ask(bytes));
  for (const prober of Object.values(probers)) prober.close();
  return answers;
}

/** The frame is JSON and its opaque is 0. */
function withOpaque(frame: Buffer, opaque: number): Buffer {
  const headerLength = frame.readInt32BE(4) & 0xffffff;
  const header = JSON.parse(frame.toString("utf8", 8, 8 + headerLength));
  const text = Buffer.from(JSON.stringify({ ...header, opaque }));
  const body = frame.subarray(8 + headerLength);
  const prefix = Buffer.alloc(8);
  prefix.writeInt32BE(4 + text.length + body.length, 0);
  prefix.writeInt32BE(text.length, 4);
  return Buffer.concat([prefix, text, body]);
}

test.skipIf(RECORD_FROM === undefined)("Apache's answers are recorded", { timeout: 900_000 }, async () => {
  const [namesrv, broker] = RECORD_FROM!.split(",").map(Number) as [number, number];
  const answers = await askAll({ namesrv, broker }, 3000);
  const lines = [...answers].map(([name, { code, remark }]) => {
    return JSON.stringify({ name, code: code ?? null, remark: remark?.slice(0, 100) });
  });
  writeFileSync(RECORDED, `${lines.join("\n")}\n`);
});

interface Recorded {
  readonly name: string;
  readonly code: number | null;
  readonly remark?: string;
}

/** Built elsewhere, or told to nobody yet: only that they are answered is asked here. */
const NOT_COMPARED = /^(SEND_REPLY|RECALL|AUTH_|GET_TIMER)/;

/** Where we mean to answer otherwise. A field refused by its name, where Apache goes on with 0 or null, needs no line. */
const OTHERWISE: readonly [RegExp, string][] = [
  [/^QUERY_CONSUMER_OFFSET\(14\) consumerGroup: /, "a group that never read an empty queue begins at 0, as with 4.9"],
  [/^UPDATE_CONSUMER_OFFSET\(15\) (commitOffset|queueId): negative/, "no such place"],
  [/^UPDATE_AND_CREATE_TOPIC\(17\) \w+: negative/, "no such topic can be"],
  [/^DELETE_TOPIC_IN_BROKER\(215\) every field: none/, "the field is named"],
  [/^PULL_MESSAGE\(11\) expressionType: empty/, "an empty type is TAG"],
  [/^(ACK_MESSAGE|CHANGE_MESSAGE_INVISIBLETIME)\(\d+\) topic: /, "there replies of earlier probes are in the queue"],
  [/^(POP_MESSAGE|NOTIFICATION)\(\d+\) pollTime: a large int/, "there it waits for days"],
  [/^NOTIFICATION\(200054\) queueId: a large int/, "no such queue"],
  [/^CLONE_GROUP_OFFSET\(314\) destGroup: /, "no such group can be"],
  [/^(HEART_BEAT\(34\)|LOCK_BATCH_MQ\(41\)|CHECK_CLIENT_CONFIG\(46\)) body: /, "a body without what it must have"],
  [/^(UN)?REGISTER_BROKER\(10[34]\) /, "a name server keeps no broker without a name, an address and an id"],
  [
    /^QUERY_CONSUME_QUEUE\(321\) (topic|queueId): /,
    "a queue that the topic has, or has not, whether it was written to or not",
  ],
];

/** A Java exception's text: a request that Apache did not expect. */
const EXCEPTION = /^(java|com)\.[\w.]+(Exception|Error)\b|Exception/;

function isMeant({ name, remark }: Recorded, ours: ProbeAnswer, field: string): boolean {
  if (EXCEPTION.test(remark ?? "")) return true;
  if (ours.code === ResponseCode.SYSTEM_ERROR && (ours.remark ?? "").includes("The field")) return true;
  if (ours.code === ResponseCode.SYSTEM_ERROR && (ours.remark ?? "").includes(field)) return true;
  return OTHERWISE.some(([pattern]) => pattern.test(name));
}

/** Nothing there, nobody who knows the request, or (a pop of long ago) nobody who waits any more. */
const NOT_ABOUT_FIELDS: ReadonlySet<number | undefined> = new Set([
  ResponseCode.SUCCESS,
  ResponseCode.PULL_NOT_FOUND,
  ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
  ResponseCode.POLLING_TIMEOUT,
]);

/** What a remark calls the field: a send of version 2 has letters for names, and 15 has Apache's words. */
function spoken(name: string, field: string): RegExp {
  const words: Record<string, string> = { g: "bornTimestamp", j: "reconsumeTimes", commitOffset: "(commitO|O)ffset" };
  return new RegExp(/^(SEND|UPDATE_CONSUMER)/.test(name) ? (words[field] ?? field) : field, "i");
}

describe("wrong requests", () => {
  let answers: Map<string, ProbeAnswer>;
  let started: StartedBroker;
  let parent: string;
  const asked: readonly Probe[] = probes();

  beforeAll(async () => {
    parent = temporaryDirectory();
    const nameServer = await startNameServer();
    started = await startBroker({
      directory: join(parent, "deep", "store"),
      config: { namesrvAddr: `127.0.0.1:${nameServer.port}`, brokerName: "broker-a" },
    });
    answers = await askAll({ namesrv: nameServer.port, broker: started.broker.port }, 1500);
  });

  test("are all answered, with remarks that say something in a few words", () => {
    const wrong = asked.filter(({ name }) => {
      const { code, remark = "" } = answers.get(name)!;
      // A reply waits for the client that it is pushed to, and this one says nothing.
      if (code === undefined) return !name.startsWith("SEND_REPLY_MESSAGE_V2(325) everything");
      return remark.length > 600 || (code !== ResponseCode.SUCCESS && remark === "");
    });
    expect(wrong.map(({ name }) => [name, answers.get(name)])).toEqual([]);
  });

  test("throw nothing, and make no file outside of the store", () => {
    expect(started.log.at("error", /./)).toEqual([]);
    expect([readdirSync(parent), readdirSync(dirname(started.directory))]).toEqual([["deep"], ["store"]]);
    expect(treeOf(started.directory).filter((path) => path.includes("escaped"))).toEqual([]);
  });

  test("get Apache's code, unless they are told more", () => {
    const fields = new Map(asked.map(({ name, field }) => [name, field]));
    const recorded = readFileSync(RECORDED, "utf8")
      .trimEnd()
      .split("\n")
      .map((line): Recorded => JSON.parse(line));
    expect(recorded.map(({ name }) => name)).toEqual(asked.map(({ name }) => name));
    const different = recorded.filter((one) => {
      const ours = answers.get(one.name)!;
      if (NOT_COMPARED.test(one.name) || ours.code === one.code) return false;
      return !isMeant(one, ours, fields.get(one.name)!);
    });
    expect(different.map((one) => ({ apache: one, ours: answers.get(one.name) }))).toEqual([]);
  });

  test("name the field, where a number is none", () => {
    const unnamed = asked.filter(({ name, field, numeric }) => {
      const { code, remark = "" } = answers.get(name)!;
      if (!numeric || NOT_COMPARED.test(name) || !/: (no number|beyond a long)$/.test(name)) return false;
      return !NOT_ABOUT_FIELDS.has(code) && !spoken(name, field).test(remark);
    });
    expect(unnamed.map(({ name }) => [name, answers.get(name)])).toEqual([]);
  });
});
