/**
 * What Apache's proxy answered to the requests of grpc-requests.ts lies in grpc-answers.json, and this endpoint answers
 * the same but for what docs/internals/grpc-differences.md says. COMETMQ_APACHE=GRPC-PORT,BROKER-PORT asks an Apache
 * proxy in cluster mode on this machine, and writes the file anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { call, connectTo, startEndpoint, Telemetry } from "./grpc-client.js";
import { allAnswers, CLIENT_ID, CONSUMER_SETTINGS, TOPICS } from "./grpc-requests.js";
import { ANSWER_MS, clientOf, closeAll } from "./harness.js";

afterEach(closeAll);

const ANSWERS = path.join(import.meta.dirname, "grpc-answers.json");
const PAGE = path.join(import.meta.dirname, "..", "..", "docs", "internals", "grpc-differences.md");
const APACHE = process.env["COMETMQ_APACHE"];

/** What each row of the page begins with, and the requests that it is about, with the answers they get here. */
const DIFFERENT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "a receipt handle that is none": {
    "ack by no handle": "200 grpc 0 40013 40013",
    "ack by no handle and by an old one": "200 grpc 0 40013 40013/40013",
    "change by no handle": "200 grpc 0 40013",
    "dead letter by no handle": "200 grpc 0 40013",
  },
  "ReceiveMessage of a client without settings": { "receive without settings": "200 grpc 0 40015" },
  "ReceiveMessage with a batch size of 0": { "receive of 0": "200 grpc 0 20000" },
  "PullMessage, UpdateOffset, GetOffset, QueryOffset": {
    pull: "200 grpc 0 20000",
    "update of an offset": "200 grpc 0 20000",
    "query of an offset": "200 grpc 0 20000",
    "get of an offset": "200 grpc 0 20000",
  },
  "`x-mq-language` that Apache does not know": {
    "no language": "200 grpc 0 20000",
    "unknown language": "200 grpc 0 20000",
  },
  "a message cut short, one longer": {
    "message cut short": "200 grpc 13",
    "message too long": "200 grpc 8",
    "compressed without an encoding": "200 grpc 13",
  },
  "a `grpc-timeout` that is none": { "deadline that is none": "200 grpc 0 20000" },
};

function fieldsOf(topic: string, type: string): Fields {
  const sizes = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
  const attributes = `+message.type=${type}`;
  return { topic, ...sizes, topicFilterType: "SINGLE_TAG", order: false, defaultTopic: "TBW102", attributes };
}

async function answersOf(ports: { grpc: number; broker: number }): Promise<Record<string, string>> {
  const admin = clientOf(ports.broker);
  for (const [topic, type] of Object.entries(TOPICS)) {
    const answer = await admin.call(RequestCode.UPDATE_AND_CREATE_TOPIC, fieldsOf(topic, type), undefined, ANSWER_MS);
    expect(answer.code).toBe(0);
  }
  const at = { port: ports.grpc };
  const session = connectTo(at);
  for (const name of Object.keys(TOPICS)) {
    while ((await call(session, "QueryRoute", { topic: { name } })).status.code !== 20000);
  }
  const telemetry = new Telemetry(session, { "x-mq-client-id": CLIENT_ID });
  telemetry.send({ settings: CONSUMER_SETTINGS });
  await telemetry.next();
  return allAnswers(() => connectTo(at));
}

test("refusals are those of Apache's proxy, but for the differences that the page has", async () => {
  if (APACHE !== undefined) {
    const [grpc = 0, broker = 0] = APACHE.split(",").map(Number);
    writeFileSync(ANSWERS, `${JSON.stringify(await answersOf({ grpc, broker }), undefined, 2)}\n`);
  }
  const apache: Record<string, string> = JSON.parse(readFileSync(ANSWERS, "utf8"));
  const { endpoint, broker } = await startEndpoint({ config: { brokerName: "broker-a" } });
  const own = await answersOf({ grpc: endpoint.port, broker: broker.port });
  const expected = Object.assign({ ...apache }, ...Object.values(DIFFERENT));
  expect(own).toEqual(expected);
  const page = readFileSync(PAGE, "utf8");
  for (const [row, answers] of Object.entries(DIFFERENT)) {
    expect(page).toContain(`| ${row}`);
    for (const [name, answer] of Object.entries(answers))
      expect(apache[name], `${name} does not differ`).not.toBe(answer);
  }
}, 60_000);
