/** Requests that a proxy refuses, or might: what is asked of Apache's and of this one, and how an answer is written down. */
import type { ClientHttp2Session } from "node:http2";
import { type Answer, encoded, gather, message, open } from "./grpc-client.js";

/** The topics that they are sent to, with the types of their messages. */
export const TOPICS = { cmpT: "NORMAL", cmpF: "FIFO", cmpD: "DELAY", cmpX: "TRANSACTION" };
export const CLIENT_ID = "cmp-client";

const [T, F, D, X, NONE] = ["cmpT", "cmpF", "cmpD", "cmpX", "cmpNone"].map((name) => ({ name }));
const G = { name: "cmpG" };
const ILLEGAL = { name: "a b" };
const MINUTE = { seconds: 60, nanos: 0 };
const SYSTEM_HEADER = "x-mq-client-id";
const LONG_AGO = "0 1 60000 0 0 broker-a 0 0 0";
/** Of an offset that the queue has not reached. */
const aheadOf = () => `0 ${Date.now()} 60000 0 0 broker-a 0 99999 0`;
const inSeconds = (seconds: number) => ({ seconds: Math.floor(Date.now() / 1000) + seconds, nanos: 0 });

export const CONSUMER_SETTINGS = {
  clientType: 3,
  subscription: { group: G, subscriptions: [{ topic: T, expression: { type: 1, expression: "*" } }] },
  requestTimeout: { seconds: 3, nanos: 0 },
};

/** A command that is not answered by then is not answered. */
const UNANSWERED_MS = 1000;

interface Case {
  readonly name: string;
  readonly method: string;
  readonly bytes: () => Buffer;
  readonly headers: Record<string, string>;
}

function one(name: string, method: string, request: () => object, headers: Record<string, string> = {}): Case {
  return { name, method, bytes: () => encoded(method, request()), headers };
}

function raw(name: string, method: string, bytes: Buffer, headers: Record<string, string> = {}): Case {
  return { name, method, bytes: () => bytes, headers };
}

/** A send of one message. */
function send(name: string, changes: Answer): Case {
  return one(name, "SendMessage", () => ({
    messages: [message({ topic: T, ...(typeof changes === "function" ? changes() : changes) })],
  }));
}

/** A send with system properties. */
function sent(name: string, systemProperties: Answer, topic: object = T!): Case {
  return send(name, { topic, systemProperties });
}

function receive(name: string, changes: object, headers: Record<string, string> = {}): Case {
  const broker = { name: "broker-a", endpoints: { scheme: 1, addresses: [] } };
  const messageQueue = { topic: T, id: -1, permission: 3, broker };
  const filterExpression = { type: 1, expression: "*" };
  const whole = { group: G, messageQueue, filterExpression, batchSize: 1, invisibleDuration: MINUTE, ...changes };
  return one(name, "ReceiveMessage", () => whole, headers);
}

function ack(name: string, ...handles: (string | (() => string))[]): Case {
  return one(name, "AckMessage", () => ({
    topic: T,
    group: G,
    entries: handles.map((handle, i) => ({
      messageId: String(i),
      receiptHandle: typeof handle === "string" ? handle : handle(),
    })),
  }));
}

const held = { topic: T, group: G, messageId: "1" };
const properties = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, "v"] as const));

const ROUTES = [
  one("route of an unknown topic", "QueryRoute", () => ({
    topic: NONE,
    endpoints: { scheme: 1, addresses: [{ host: "127.0.0.1", port: 1 }] },
  })),
  one("route without endpoints", "QueryRoute", () => ({ topic: T })),
  one("route of no topic", "QueryRoute", () => ({ topic: { name: "" } })),
  one("route of an illegal topic", "QueryRoute", () => ({ topic: ILLEGAL })),
  one("route of a system topic", "QueryRoute", () => ({ topic: { name: "TBW102" } })),
  one("route of a long topic", "QueryRoute", () => ({ topic: { name: "a".repeat(128) } })),
  one("no client id", "QueryRoute", () => ({ topic: T }), { [SYSTEM_HEADER]: "" }),
  one("assignment of an illegal group", "QueryAssignment", () => ({ topic: T, group: ILLEGAL })),
  one("assignment of a system group", "QueryAssignment", () => ({ topic: T, group: { name: "CID_RMQ_SYS_x" } })),
  one("assignment of a long group", "QueryAssignment", () => ({ topic: T, group: { name: "g".repeat(256) } })),
];

const SENDS = [
  one("send of nothing", "SendMessage", () => ({ messages: [] })),
  one("send to two topics", "SendMessage", () => ({ messages: [message({ topic: T }), message({ topic: F })] })),
  one("send of a good and a bad message", "SendMessage", () => ({
    messages: [message({ topic: T }), message({ topic: T, systemProperties: { tag: "a|b" } })],
  })),
  send("send to an unknown topic", { topic: NONE }),
  send("send to a retry topic", { topic: { name: "%RETRY%cmpG" } }),
  send("no body", { body: Buffer.alloc(0) }),
  send("body too large", { body: Buffer.alloc((4 << 20) + 1) }),
  send("system property by the user", { userProperties: { KEYS: "x" } }),
  send("sharding key by the user, in a topic that is not FIFO", { userProperties: { __SHARDINGKEY: "x" } }),
  send("sharding key by the user, in a topic that is", { topic: F, userProperties: { __SHARDINGKEY: "x" } }),
  send("property with a control character", { userProperties: { a: "\u0001" } }),
  send("property without a name", { userProperties: { "": "v" } }),
  send("129 properties", { userProperties: properties(129) }),
  send("128 properties", { userProperties: properties(128) }),
  send("properties too large", { userProperties: { a: "v".repeat(16_384) } }),
  sent("tag blank", { tag: " " }),
  sent("tag with a bar", { tag: "a|b" }),
  sent("tag empty", { tag: "" }),
  sent("key blank", { keys: [" "] }),
  sent("key empty", { keys: [""] }),
  sent("key with a control character", { keys: ["a\u0001"] }),
  sent("no message id", { messageId: "" }),
  sent("message group of 64", { messageGroup: "g".repeat(64), messageType: 2 }, F),
  sent("message group of 63", { messageGroup: "g".repeat(63), messageType: 2 }, F),
  sent("message group blank", { messageGroup: " ", messageType: 2 }, F),
  sent("FIFO without a message group", { messageType: 2 }, F),
  sent("delay too long", { messageType: 3, deliveryTimestamp: inSeconds(90_000) }, D),
  sent("delay in the past", { messageType: 3, deliveryTimestamp: inSeconds(-60) }, D),
  sent("delay before 1970", { messageType: 3, deliveryTimestamp: { seconds: -60, nanos: 0 } }, D),
  sent("FIFO to a normal topic", { messageGroup: "g", messageType: 2 }),
  sent("delay to a normal topic", { messageType: 3, deliveryTimestamp: inSeconds(5) }),
  sent("transaction to a normal topic", { messageType: 4 }),
  sent("priority to a normal topic", { priority: 1, messageType: 6 }),
  sent("message type that is none", { messageType: 99 }),
  sent("body encoding that is none", { bodyEncoding: 99 }),
  sent("recovery too late", { messageType: 4, orphanedTransactionRecoveryDuration: { seconds: 3601, nanos: 0 } }, X),
  send("good", {}),
];

const CONSUMERS = [
  receive("receive without settings", {}, { [SYSTEM_HEADER]: "stranger" }),
  one("heartbeat of a stranger", "Heartbeat", () => ({ group: G, clientType: 1 }), { [SYSTEM_HEADER]: "stranger" }),
  one("termination of a stranger", "NotifyClientTermination", () => ({ group: G }), { [SYSTEM_HEADER]: "stranger" }),
  receive("receive of 0", { batchSize: 0 }, { "grpc-timeout": "7S" }),
  receive("invisible too short", { invisibleDuration: { seconds: 5, nanos: 0 } }),
  receive("invisible too long", { invisibleDuration: { seconds: 43_201, nanos: 0 } }),
  receive("invisible below 0", { invisibleDuration: { seconds: -5, nanos: 0 } }),
  receive("receive from an unknown topic", { messageQueue: { topic: NONE, id: -1, broker: { name: "broker-a" } } }),
  receive("receive without a queue", { messageQueue: undefined }),
  receive("receive by an illegal group", { group: ILLEGAL }),
  receive("receive with an empty expression", { filterExpression: { type: 2, expression: "" } }),
  receive("receive with a bad expression", { filterExpression: { type: 2, expression: "a >" } }),
  receive("receive with a type of filter that is none", { filterExpression: { type: 9, expression: "a" } }),
  receive("receive with a short deadline", {}, { "grpc-timeout": "2S" }),
  ack("ack of nothing"),
  ack("ack by no handle", "x"),
  ack("ack by an old handle", LONG_AGO),
  ack("ack ahead of the queue", aheadOf),
  ack("ack by no handle and by an old one", "x", LONG_AGO),
  one("change by no handle", "ChangeInvisibleDuration", () => ({
    ...held,
    receiptHandle: "x",
    invisibleDuration: MINUTE,
  })),
  one("change to too long", "ChangeInvisibleDuration", () => ({
    ...held,
    receiptHandle: aheadOf(),
    invisibleDuration: { seconds: 43_201, nanos: 0 },
  })),
  one("change to below 0", "ChangeInvisibleDuration", () => ({
    ...held,
    receiptHandle: aheadOf(),
    invisibleDuration: { seconds: -1, nanos: 0 },
  })),
  one("dead letter by no handle", "ForwardMessageToDeadLetterQueue", () => ({ ...held, receiptHandle: "x" })),
  one("dead letter by half a handle", "ForwardMessageToDeadLetterQueue", () => ({
    ...held,
    receiptHandle: `0 ${Date.now()} 60000 0 0 broker-a 0 9`,
  })),
  one("end of an unknown transaction", "EndTransaction", () => ({
    topic: X,
    messageId: "1",
    transactionId: "abc",
    resolution: 1,
  })),
  one("end of no transaction", "EndTransaction", () => ({
    topic: X,
    messageId: "1",
    transactionId: "",
    resolution: 1,
  })),
  one("recall by no handle", "RecallMessage", () => ({ topic: D, recallHandle: "zzz" })),
  one("recall by an empty handle", "RecallMessage", () => ({ topic: D, recallHandle: "" })),
  one("recall from a normal topic", "RecallMessage", () => ({ topic: T, recallHandle: "zzz" })),
  one("lite subscription", "SyncLiteSubscription", () => ({ topic: T, group: G })),
  one("pull", "PullMessage", () => ({ group: G, messageQueue: { topic: T, id: 0 } })),
  one("update of an offset", "UpdateOffset", () => ({ group: G, messageQueue: { topic: T, id: 0 }, offset: 0 })),
  one("query of an offset", "QueryOffset", () => ({ messageQueue: { topic: T, id: 0 } })),
  one("get of an offset", "GetOffset", () => ({ group: G, messageQueue: { topic: T, id: 0 } })),
];

const ROUTE = encoded("QueryRoute", { topic: T });
const HEARTBEAT = encoded("Heartbeat", { group: G, clientType: 1 });
const SERVICE = "/apache.rocketmq.v2.MessagingService";
const settings = (changes: object) => encoded("Telemetry", { settings: { ...CONSUMER_SETTINGS, ...changes } });

/** Each on a connection of its own. */
const WIRE = [
  raw("malformed message", "SendMessage", Buffer.from([0, 0, 0, 0, 3, 255, 255, 255])),
  raw("message cut short", "SendMessage", Buffer.from([0, 0, 0, 0, 9, 1])),
  raw("no message", "SendMessage", Buffer.alloc(0)),
  raw("message too long", "SendMessage", Buffer.from([0, 0x7f, 255, 255, 255])),
  raw("two messages", "QueryRoute", Buffer.concat([ROUTE, ROUTE])),
  raw("compressed without an encoding", "QueryRoute", Buffer.from([1, 0, 0, 0, 0])),
  raw("unknown method", "QueryRoute", Buffer.alloc(5), { ":path": `${SERVICE}/Nothing` }),
  raw("unknown service", "QueryRoute", Buffer.alloc(5), { ":path": "/a.B/C" }),
  raw("another content type", "QueryRoute", Buffer.alloc(5), { "content-type": "text/plain" }),
  raw("no content type", "QueryRoute", Buffer.alloc(5), { "content-type": "" }),
  raw("GET", "QueryRoute", Buffer.alloc(5), { ":method": "GET" }),
  raw("unknown encoding", "QueryRoute", ROUTE, { "grpc-encoding": "zstd" }),
  raw("deadline that is none", "QueryRoute", ROUTE, { "grpc-timeout": "zzz" }),
  raw("unknown language", "Heartbeat", HEARTBEAT, { "x-mq-language": "KLINGON" }),
  raw("no language", "Heartbeat", HEARTBEAT, { "x-mq-language": "" }),
  raw("no version", "Heartbeat", HEARTBEAT, { "x-mq-client-version": "" }),
  raw("version that is none", "Heartbeat", HEARTBEAT, { "x-mq-client-version": "x.y" }),
  raw("header of 64 KiB", "QueryRoute", ROUTE, { "x-big": "x".repeat(65_536) }),
  raw("settings of nothing", "Telemetry", encoded("Telemetry", { settings: {} })),
  raw(
    "settings with an illegal topic",
    "Telemetry",
    encoded("Telemetry", { settings: { clientType: 1, publishing: { topics: [ILLEGAL] } } }),
  ),
  raw(
    "settings with an illegal group",
    "Telemetry",
    settings({ subscription: { ...CONSUMER_SETTINGS.subscription, group: ILLEGAL } }),
  ),
  raw("settings with a client type that is none", "Telemetry", settings({ clientType: 77 })),
  raw("settings without a client id", "Telemetry", settings({}), { [SYSTEM_HEADER]: "" }),
  raw("telemetry without a command", "Telemetry", encoded("Telemetry", {})),
];

async function answerTo(session: ClientHttp2Session, { method, bytes, headers }: Case): Promise<string> {
  const stream = open(session, method, { [SYSTEM_HEADER]: CLIENT_ID, "grpc-timeout": "10S", ...headers });
  const isStream = method === "Telemetry";
  const answer = gather(stream, method, isStream ? undefined : bytes());
  if (isStream) {
    stream.write(bytes());
    // Who ends a stream at once is told nothing of what was wrong with its settings.
    stream.once("data", () => stream.end());
    setTimeout(() => stream.end(), UNANSWERED_MS).unref();
  }
  const { httpStatus, grpcStatus, messages } = await answer;
  if (Number.isNaN(httpStatus) || Number.isNaN(grpcStatus)) return "reset";
  const codes = messages.flatMap(({ status }) => (status == null ? [] : [status.code]));
  const entries: Answer[] = messages[0]?.["entries"] ?? [];
  const entryCodes = entries.map(({ status }) => status.code);
  return [httpStatus, `grpc ${grpcStatus}`, codes.join("+"), entryCodes.join("/")]
    .filter((part) => part !== "")
    .join(" ");
}

/** HTTP status, gRPC status, the codes of the answer's messages, those of its entries: by the name of the request. */
export async function allAnswers(connection: () => ClientHttp2Session): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  const shared = connection();
  for (const request of [...ROUTES, ...SENDS, ...CONSUMERS]) answers[request.name] = await answerTo(shared, request);
  for (const request of WIRE) {
    const own = connection();
    answers[request.name] = await answerTo(own, request);
    own.destroy();
  }
  return answers;
}
