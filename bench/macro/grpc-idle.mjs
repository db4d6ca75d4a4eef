#!/usr/bin/env node
/**
 * What idle long polls cost: so many gRPC clients, each with a connection, a telemetry stream and a ReceiveMessage that waits,
 * and the CPU and memory of the server over a time in which nothing happens, against the same time without them. Polls of
 * 20 s that end are opened again. One JSON line. CometMQ has to be built, for its codec is used.
 *
 *   node bench/macro/grpc-idle.mjs [--polls 1000] [--seconds 30]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { framed } from "../../dist/grpc/message-reader.js";
import { loadMethods } from "../../dist/grpc/proto.js";
import { startComet } from "./comet.mjs";
import { readUsage, round } from "./measure.mjs";
import { killAll } from "./server-process.mjs";
import { createTopic } from "./topic.mjs";

const PORT_BASE = 25_100;
const POLL_SECONDS = 20;
const SETTLE_MS = 5_000;
const AT_ONCE = 50;
const SERVICE = "/apache.rocketmq.v2.MessagingService/";
const METHODS = loadMethods();

const { values } = parseArgs({
  options: { polls: { type: "string", default: "1000" }, seconds: { type: "string", default: "30" } },
});
const topic = { name: "grpc-idle" };
const group = { name: "g-grpc-idle" };
const expression = { type: 1, expression: "*" };

const dir = mkdtempSync(join(tmpdir(), "cometmq-idle-"));
process.on("exit", () => {
  killAll();
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

function open(session, method, clientId, deadline) {
  const stream = session.request({
    ":method": "POST",
    ":path": SERVICE + method,
    "content-type": "application/grpc",
    te: "trailers",
    "x-mq-client-id": clientId,
    "x-mq-language": "NODE_JS",
    "x-mq-client-version": "5.0.8",
    "grpc-timeout": deadline,
  });
  stream.on("error", () => {});
  stream.resume();
  return stream;
}

const encoded = (method, request) => framed(METHODS.get(method).request.encode(request));

async function start(grpc, number) {
  const session = connect(`http://${grpc}`);
  const clientId = `idle-${number}`;
  const telemetry = open(session, "Telemetry", clientId, "3600S");
  const subscription = { group, subscriptions: [{ topic, expression }] };
  telemetry.write(
    encoded("Telemetry", {
      settings: { clientType: 3, subscription, requestTimeout: { seconds: 3, nanos: 0 } },
    }),
  );
  await new Promise((resolve) => telemetry.once("data", resolve));
  const poll = () => {
    const stream = open(session, "ReceiveMessage", clientId, "60S");
    stream.end(
      encoded("ReceiveMessage", {
        group,
        messageQueue: { topic, id: -1, broker: { name: "broker-a", id: 0 } },
        filterExpression: expression,
        batchSize: 16,
        invisibleDuration: { seconds: 60, nanos: 0 },
        longPollingTimeout: { seconds: POLL_SECONDS, nanos: 0 },
      }),
    );
    stream.once("close", () => {
      if (!session.destroyed) poll();
    });
  };
  poll();
  return session;
}

async function idle(pid) {
  await delay(SETTLE_MS);
  const before = readUsage(pid);
  await delay(Number(values.seconds) * 1000);
  const after = readUsage(pid);
  return { cpuMs: round((after.cpuSeconds - before.cpuSeconds) * 1000, 0), rssMB: after.rssMB };
}

const server = await startComet({ dir: join(dir, "comet"), prefix: [], basePort: PORT_BASE });
await createTopic({ ...server, brokerName: "broker-a" }, topic.name);
const without = await idle(server.pid);
const sessions = [];
for (let i = 0; i < Number(values.polls); i += AT_ONCE) {
  const batch = Array.from({ length: Math.min(AT_ONCE, Number(values.polls) - i) }, (_, k) =>
    start(server.grpc, i + k),
  );
  sessions.push(...(await Promise.all(batch)));
}
const polling = await idle(server.pid);
process.stdout.write(
  `${JSON.stringify({ polls: sessions.length, seconds: Number(values.seconds), without, polling })}\n`,
);
for (const session of sessions) session.destroy();
await server.stop();
process.exit(0);
