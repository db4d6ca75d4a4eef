/**
 * Whom Apache's proxy refuses, with access control on, and with which code: its answers lie in grpc-access-answers.json,
 * and this endpoint gives the same, but where DIFFERENT says why not. COMETMQ_APACHE_SECURED=GRPC-PORT,BROKER-PORT asks an
 * Apache proxy in cluster mode on this machine, whose first user is root with the password root-pw, and writes the file anew.
 */
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { ClientHttp2Session } from "node:http2";
import { afterEach, expect, test } from "vitest";
import { RequestCode } from "#src/remoting/codes.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import type { Fields } from "#src/remoting/types.js";
import { connectTo, encoded, gather, message, open, startEndpoint } from "./grpc-client.js";
import { ANSWER_MS, clientOf, closeAll } from "./harness.js";

afterEach(closeAll);

const ANSWERS = path.join(import.meta.dirname, "grpc-access-answers.json");
const PAGE = path.join(import.meta.dirname, "..", "..", "docs", "internals", "grpc-differences.md");
const APACHE = process.env["COMETMQ_APACHE_SECURED"];
const REFUSALS: ReadonlySet<number> = new Set([40100, 40300]);
const UNANSWERED_MS = 2500;

/** What each row of docs/internals/grpc-differences.md begins with, and what is answered here instead. */
const DIFFERENT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "ChangeInvisibleDuration without the right to the topic": {
    "ChangeInvisibleDuration by reader: secret, mine": "200 grpc 0 40100",
  },
};

const DATE = "20260102T030405Z";

function signed(user: string, password: string): Record<string, string> {
  const signature = createHmac("sha1", password).update(DATE).digest("hex").toUpperCase();
  const authorization = `MQv2-HMAC-SHA1 Credential=${user}, SignedHeaders=x-mq-date-time, Signature=${signature}`;
  return { "x-mq-date-time": DATE, authorization };
}

/** Who asks, by headers. */
const WHO: Readonly<Record<string, Record<string, string>>> = {
  nobody: {},
  "a wrong password": signed("reader", "wrong"),
  "an unknown user": signed("stranger", "reader-pw"),
  "a header that is none": { "x-mq-date-time": DATE, authorization: "MQv2-HMAC-SHA1" },
  reader: signed("reader", "reader-pw"),
  root: signed("root", "root-pw"),
};

const HANDLE = `0 ${Date.now()} 60000 0 0 broker-a 0 99999 0`;
const MINUTE = { seconds: 60, nanos: 0 };
const ENDPOINTS = { scheme: 1, addresses: [{ host: "127.0.0.1", port: 1 }] };

type Make = (topic: { name: string }, group: { name: string }) => object;
const queue = (topic: object) => ({
  topic,
  id: -1,
  permission: 3,
  broker: { name: "broker-a", endpoints: { scheme: 1, addresses: [] } },
});
const filterExpression = { type: 1, expression: "*" };

/** What is asked for, of a topic and a group. */
const METHODS: Readonly<Record<string, [method: string, make: Make]>> = {
  QueryRoute: ["QueryRoute", (topic) => ({ topic, endpoints: ENDPOINTS })],
  QueryAssignment: ["QueryAssignment", (topic, group) => ({ topic, group, endpoints: ENDPOINTS })],
  SendMessage: ["SendMessage", (topic) => ({ messages: [message({ topic })] })],
  ReceiveMessage: [
    "ReceiveMessage",
    (topic, group) => ({
      group,
      messageQueue: queue(topic),
      filterExpression,
      batchSize: 1,
      invisibleDuration: MINUTE,
      longPollingTimeout: { seconds: 1, nanos: 0 },
    }),
  ],
  AckMessage: [
    "AckMessage",
    (topic, group) => ({ topic, group, entries: [{ messageId: "1", receiptHandle: HANDLE }] }),
  ],
  ChangeInvisibleDuration: [
    "ChangeInvisibleDuration",
    (topic, group) => ({ topic, group, receiptHandle: HANDLE, invisibleDuration: MINUTE, messageId: "1" }),
  ],
  ForwardMessageToDeadLetterQueue: [
    "ForwardMessageToDeadLetterQueue",
    (topic, group) => ({
      topic,
      group,
      receiptHandle: HANDLE,
      messageId: "1",
      deliveryAttempt: 1,
      maxDeliveryAttempts: 1,
    }),
  ],
  EndTransaction: [
    "EndTransaction",
    (topic) => ({ topic, messageId: "1", transactionId: "1", resolution: 1, source: 1, traceContext: "" }),
  ],
  RecallMessage: ["RecallMessage", (topic) => ({ topic, recallHandle: "none" })],
  "Heartbeat of a consumer": ["Heartbeat", (_, group) => ({ group, clientType: 3 })],
  "Heartbeat of a producer": ["Heartbeat", () => ({ clientType: 1 })],
  "NotifyClientTermination of a consumer": ["NotifyClientTermination", (_, group) => ({ group })],
  "NotifyClientTermination of a producer": ["NotifyClientTermination", () => ({})],
  "Telemetry of a producer": [
    "Telemetry",
    (topic) => ({ settings: { clientType: 1, publishing: { topics: [topic] }, accessPoint: ENDPOINTS } }),
  ],
  "Telemetry of a consumer": [
    "Telemetry",
    (topic, group) => ({
      settings: {
        clientType: 3,
        subscription: { group, subscriptions: [{ topic, expression: filterExpression }] },
        requestTimeout: { seconds: 3, nanos: 0 },
      },
    }),
  ],
};

/** What reader may and may not have. */
const WHAT: readonly [topic: string, group: string][] = [
  ["open", "mine"],
  ["secret", "mine"],
  ["open", "theirs"],
];

/** The code that somebody is refused with, else that they were let in: what becomes of it then is not looked at. */
async function answerTo(session: ClientHttp2Session, method: string, bytes: Buffer, headers: Record<string, string>) {
  const stream = open(session, method, { "x-mq-client-id": "access-client", "grpc-timeout": "10S", ...headers });
  const isStream = method === "Telemetry";
  const answer = gather(stream, method, isStream ? undefined : bytes);
  if (isStream) {
    stream.write(bytes);
    stream.once("data", () => stream.end());
    setTimeout(() => stream.end(), UNANSWERED_MS).unref();
  }
  const { httpStatus, grpcStatus, messages } = await answer;
  const code = messages.map(({ status }) => status?.code).find((one) => REFUSALS.has(one));
  if (code !== undefined) return `${httpStatus} grpc ${grpcStatus} ${code}`;
  return grpcStatus === 7 || grpcStatus === 16 ? `${httpStatus} grpc ${grpcStatus}` : "let in";
}

async function prepare(port: number): Promise<void> {
  const root = clientOf(port, { signer: requestSigner({ accessKey: "root", secretKey: "root-pw" }) });
  const make = async (code: number, fields: Fields, body?: object) => {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    expect(await root.call(code, fields, bytes, ANSWER_MS)).toMatchObject({ code: 0 });
  };
  for (const topic of ["open", "secret"]) {
    const sizes = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
    const rest = { topicFilterType: "SINGLE_TAG", order: false, defaultTopic: "TBW102" };
    await make(RequestCode.UPDATE_AND_CREATE_TOPIC, { topic, ...sizes, ...rest });
  }
  for (const groupName of ["mine", "theirs"])
    await make(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, { groupName });
  // A broker that was asked before has them.
  await root.call(RequestCode.AUTH_DELETE_USER, { username: "reader" }, undefined, ANSWER_MS);
  await make(RequestCode.AUTH_CREATE_USER, { username: "reader" }, { password: "reader-pw", userType: "Normal" });
  const entry = (resource: string, ...actions: string[]) => ({ resource, actions, decision: "Allow" });
  const policies = [{ policyType: "Custom", entries: [entry("Topic:open", "Pub", "Sub"), entry("Group:mine", "Sub")] }];
  await make(RequestCode.AUTH_CREATE_ACL, { subject: "User:reader" }, { subject: "User:reader", policies });
}

async function answersOf(ports: { grpc: number; broker: number }): Promise<Record<string, string>> {
  await prepare(ports.broker);
  const session = connectTo({ port: ports.grpc });
  const root = WHO["root"]!;
  for (const name of ["open", "secret"]) {
    const bytes = encoded("QueryRoute", { topic: { name }, endpoints: ENDPOINTS });
    const asked = async () =>
      (await gather(open(session, "QueryRoute", root), "QueryRoute", bytes)).messages[0]?.status;
    while ((await asked())?.code !== 20000);
  }
  const answers: Record<string, string> = {};
  for (const [name, [method, make]] of Object.entries(METHODS)) {
    for (const [who, headers] of Object.entries(WHO)) {
      for (const [topic, group] of who === "reader" ? WHAT : WHAT.slice(0, 1)) {
        const bytes = encoded(method, make({ name: topic }, { name: group }));
        const what = who === "reader" ? `: ${topic}, ${group}` : "";
        answers[`${name} by ${who}${what}`] = await answerTo(session, method, bytes, headers);
      }
    }
  }
  return answers;
}

test("who is refused by Apache's proxy is refused with its codes, and nobody else", async () => {
  if (APACHE !== undefined) {
    const [grpc = 0, broker = 0] = APACHE.split(",").map(Number);
    writeFileSync(ANSWERS, `${JSON.stringify(await answersOf({ grpc, broker }), undefined, 2)}\n`);
  }
  const apache: Record<string, string> = JSON.parse(readFileSync(ANSWERS, "utf8"));
  const { endpoint, broker } = await startEndpoint({
    config: {
      brokerName: "broker-a",
      authenticationEnabled: true,
      authorizationEnabled: true,
      initAuthenticationUser: '{"username":"root","password":"root-pw"}',
    },
  });
  const own = await answersOf({ grpc: endpoint.port, broker: broker.port });
  const page = readFileSync(PAGE, "utf8");
  for (const [row, answers] of Object.entries(DIFFERENT)) {
    expect(page).toContain(`| ${row}`);
    for (const [name, answer] of Object.entries(answers))
      expect(apache[name], `${name} does not differ`).not.toBe(answer);
  }
  expect(own).toEqual(Object.assign({ ...apache }, ...Object.values(DIFFERENT)));
}, 60_000);
