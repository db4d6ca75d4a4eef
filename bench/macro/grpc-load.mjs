#!/usr/bin/env node
/**
 * Loads a gRPC endpoint as RocketMQ 5 clients do and says what the server's processes spent on a message: `send` keeps
 * sends of 1 KB in flight on some connections, `receive` then takes what was sent, 16 at a time, and acknowledges each
 * message by itself. The same program runs against CometMQ and against Apache's proxy and broker, whose processes count
 * together: one JSON line a case. CometMQ has to be built, for its codec is used.
 *
 *   node bench/macro/grpc-load.mjs --grpc HOST:PORT --pids PID[,PID] --topic T --group G [--seconds 10] [--warmup 5]
 *
 * The topic (NORMAL, 8 queues) and the group are there before.
 */
import { connect } from "node:http2";
import { parseArgs } from "node:util";
import { framed, MessageReader } from "../../dist/grpc/message-reader.js";
import { loadMethods } from "../../dist/grpc/proto.js";
import { LatencyHistogram, monotonicUs, readUsage, round } from "./measure.mjs";

const CONNECTIONS = 4;
const IN_FLIGHT = 16;
const BODY = Buffer.alloc(1024, "x");
const BATCH = 16;
const SERVICE = "/apache.rocketmq.v2.MessagingService/";
const METHODS = loadMethods();

const { values } = parseArgs({
  options: {
    grpc: { type: "string", default: "127.0.0.1:8081" },
    pids: { type: "string", default: "" },
    topic: { type: "string", default: "bench" },
    group: { type: "string", default: "bench" },
    seconds: { type: "string", default: "10" },
    warmup: { type: "string", default: "5" },
  },
});
const pids = values.pids.split(",").filter(Boolean).map(Number);
const [topic, group] = [{ name: values.topic }, { name: values.group }];

let lastId = 0;

function cpuSeconds() {
  return pids.reduce((sum, pid) => sum + readUsage(pid).cpuSeconds, 0);
}

function open(session, method, deadline) {
  return session.request({
    ":method": "POST",
    ":path": SERVICE + method,
    "content-type": "application/grpc",
    te: "trailers",
    // Of its own: a group that its client has left takes the client with it when the group expires.
    "x-mq-client-id": `grpc-load-${process.pid}`,
    "x-mq-language": "NODE_JS",
    "x-mq-client-version": "5.0.8",
    "grpc-timeout": deadline,
  });
}

/** The answer's messages. */
function call(session, method, request) {
  return new Promise((resolve, reject) => {
    const stream = open(session, method, "30S");
    const reader = new MessageReader(1 << 30, { bytes: 0, bytesMax: 1 << 30 }, "identity");
    const messages = [];
    stream.on("data", (chunk) =>
      reader.push(chunk, (bytes) => messages.push(METHODS.get(method).response.decode(bytes))),
    );
    stream.on("error", reject);
    stream.on("close", () => resolve(messages));
    stream.end(framed(METHODS.get(method).request.encode(request)));
  });
}

function must(answer, what) {
  if (answer?.status?.code !== 20000) throw new Error(`${what}: ${JSON.stringify(answer?.status)}`);
}

async function sendOne(session) {
  const messageId = `01${(++lastId).toString(16).padStart(32, "0").toUpperCase()}`;
  const bornTimestamp = { seconds: Math.floor(Date.now() / 1000), nanos: 0 };
  const systemProperties = { messageId, messageType: 1, bodyEncoding: 1, bornTimestamp, bornHost: "bench", tag: "A" };
  const [answer] = await call(session, "SendMessage", { messages: [{ topic, body: BODY, systemProperties }] });
  must(answer, "SendMessage");
  return 1;
}

async function receiveSome(session) {
  const found = await call(session, "ReceiveMessage", {
    group,
    messageQueue: { topic, id: -1, broker: { name: "broker-a", id: 0 } },
    filterExpression: { type: 1, expression: "*" },
    batchSize: BATCH,
    invisibleDuration: { seconds: 60, nanos: 0 },
    longPollingTimeout: { seconds: 5, nanos: 0 },
  });
  const refusal = found.find(({ status }) => status != null && status.code !== 20000 && status.code !== 40401);
  if (refusal !== undefined) must(refusal, "ReceiveMessage");
  const messages = found.filter(({ message }) => message !== null && message !== undefined);
  const acked = messages.map(async ({ message }) => {
    const { messageId, receiptHandle } = message.systemProperties;
    must(
      (await call(session, "AckMessage", { group, topic, entries: [{ messageId, receiptHandle }] }))[0],
      "AckMessage",
    );
  });
  await Promise.all(acked);
  return messages.length;
}

/** Keeps `inFlight` of `work` going on each session until `untilMs`, or until the messages have run out. */
async function keepGoing(sessions, inFlight, work, untilMs, latencies) {
  let count = 0;
  const lane = async (session) => {
    while (performance.now() < untilMs) {
      const startUs = monotonicUs();
      const done = await work(session);
      if (done === 0) return;
      latencies.record(monotonicUs() - startUs);
      count += done;
    }
  };
  await Promise.all(sessions.flatMap((session) => Array.from({ length: inFlight }, () => lane(session))));
  return count;
}

async function measure(name, sessions, inFlight, work) {
  await keepGoing(sessions, inFlight, work, performance.now() + Number(values.warmup) * 1000, new LatencyHistogram());
  const latencies = new LatencyHistogram();
  const [cpu, startMs] = [cpuSeconds(), performance.now()];
  const count = await keepGoing(sessions, inFlight, work, startMs + Number(values.seconds) * 1000, latencies);
  const seconds = (performance.now() - startMs) / 1000;
  const spent = cpuSeconds() - cpu;
  const cpuUsPerMessage = pids.length === 0 ? null : round((spent * 1e6) / count, 1);
  const { p50Us, p99Us, p999Us, maxUs } = latencies.summary();
  const line = {
    case: name,
    grpc: values.grpc,
    count,
    perSecond: Math.round(count / seconds),
    cpuUsPerMessage,
    p50Us,
    p99Us,
    p999Us,
    maxUs,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const sessions = Array.from({ length: CONNECTIONS }, () => connect(`http://${values.grpc}`));
const telemetry = open(sessions[0], "Telemetry", "600S").on("data", () => {});
const subscription = { group, subscriptions: [{ topic, expression: { type: 1, expression: "*" } }] };
const settings = { clientType: 3, subscription, requestTimeout: { seconds: 3, nanos: 0 } };
telemetry.write(framed(METHODS.get("Telemetry").request.encode({ settings })));
await new Promise((resolve) => telemetry.once("data", resolve));
await measure("grpc-send", sessions, IN_FLIGHT, sendOne);
await measure("grpc-receive-ack", sessions, 2, receiveSome);
for (const session of sessions) session.destroy();
