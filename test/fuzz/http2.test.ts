/**
 * The gRPC endpoint over bare sockets, with connections that were made of sound ones by changing their bytes and their
 * frames: none ends with an error of the endpoint's own, nothing is held afterwards, memory does not grow with their
 * number, and it serves. COMETMQ_FUZZ_SECONDS and COMETMQ_SEED as in frames.test.ts.
 */
import net from "node:net";
import { afterAll, expect, test } from "vitest";
import { Flag, FrameType, Setting } from "#src/http2/frames.js";
import { hpackEncode } from "#src/http2/hpack.js";
import { call, connectTo, encoded, GROUP, message, startEndpoint, TOPIC } from "../server/grpc-client.js";
import { closeAll, send } from "../server/harness.js";
import { frame, number, PREFACE, settings } from "../unit/http2/raw-peer.js";
import { until } from "../unit/remoting/peers.js";
import { changed, keep, keptInputs } from "./bytes.js";
import { Dice } from "./mutations.js";

const SECONDS = Number(process.env["COMETMQ_FUZZ_SECONDS"] ?? 1);
const SEED = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);
const CONNECTIONS = 20;
const LINGER_MS = 30;
const GROWTH_BYTES_MAX = 128 * 1_048_576;
const WORDS = ["PRI", "\0\0\0", "\xff\xff\xff\xff", "grpc-timeout"];

afterAll(closeAll);

function headers(streamId: number, method: string, flags: number = Flag.END_HEADERS): Buffer {
  const block = hpackEncode([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", `/apache.rocketmq.v2.MessagingService/${method}`],
    ["content-type", "application/grpc"],
    ["x-mq-client-id", "fuzz"],
    ["grpc-timeout", "100m"],
  ]);
  return frame(FrameType.HEADERS, flags, streamId, block);
}

/** Frames that clients send, of which connections are made. */
function soundFrames(): Buffer[] {
  const sent = encoded("SendMessage", { messages: [message()] });
  const polled = encoded("ReceiveMessage", { group: GROUP, messageQueue: { topic: TOPIC, id: -1 }, batchSize: 8 });
  const frames = [
    settings([Setting.INITIAL_WINDOW_SIZE, 10]),
    settings([Setting.INITIAL_WINDOW_SIZE, 0x7fffffff], [Setting.HEADER_TABLE_SIZE, 0]),
    frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
    frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)),
    frame(FrameType.WINDOW_UPDATE, 0, 0, number(100_000)),
    frame(FrameType.SETTINGS, Flag.ACK, 0),
  ];
  for (const id of [1, 3, 5, 7, 9]) {
    const padded = Buffer.concat([Buffer.from([3]), sent, Buffer.alloc(3)]);
    frames.push(headers(id, "SendMessage"), headers(id, "ReceiveMessage"), headers(id, "Telemetry"));
    frames.push(headers(id, "QueryRoute", 0), frame(FrameType.CONTINUATION, Flag.END_HEADERS, id, Buffer.from([0x82])));
    frames.push(frame(FrameType.DATA, Flag.END_STREAM, id, sent), frame(FrameType.DATA, Flag.END_STREAM, id, polled));
    frames.push(frame(FrameType.DATA, Flag.PADDED, id, padded), frame(FrameType.DATA, 0, id, sent.subarray(0, 20)));
    frames.push(frame(FrameType.WINDOW_UPDATE, 0, id, number(1)), frame(FrameType.RST_STREAM, 0, id, number(8)));
    frames.push(frame(FrameType.PRIORITY, 0, id, Buffer.from([0, 0, 0, 0, 16])));
  }
  return frames;
}

/** Sends the bytes and leaves a little later, one way or another. */
function visit(port: number, bytes: Buffer, dice: Dice): Promise<void> {
  const abrupt = dice.rarely(2);
  const deaf = dice.rarely(4);
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.write(bytes);
      const leave = setTimeout(() => (abrupt ? socket.resetAndDestroy() : socket.destroy()), LINGER_MS);
      socket.once("close", () => {
        clearTimeout(leave);
        resolve();
      });
    });
    socket.on("error", () => {});
    if (!deaf) socket.resume();
  });
}

test("a storm of HTTP/2 connections that no client would make", { timeout: SECONDS * 1000 + 60_000 }, async () => {
  const started = await startEndpoint({ config: { topicCountMax: 300, groupCountMax: 300 } });
  await send(started.client(), { topic: TOPIC.name }, "before");
  const { endpoint, log } = started;
  const dice = new Dice(SEED);
  const frames = soundFrames();
  const kept = keptInputs("http2");
  const beginBytes = process.memoryUsage().rss;
  const endMs = performance.now() + SECONDS * 1000;
  let count = 0;
  do {
    const batch = Array.from({ length: CONNECTIONS }, () => {
      const parts = Array.from({ length: 1 + dice.below(30) }, () => dice.one(frames));
      const sound = Buffer.concat([settings(), ...parts]);
      const bytes = dice.rarely(4) ? sound : changed(dice, sound, dice.one([...kept, ...frames]), WORDS);
      return Buffer.concat([PREFACE, bytes]);
    });
    await Promise.all(batch.map((bytes) => visit(endpoint.port, bytes, dice)));
    count += CONNECTIONS;
    const errors = log.at("error", /./);
    if (errors.length > 0) for (const bytes of batch) keep("http2", bytes.subarray(PREFACE.length));
    expect(errors, `seed ${SEED}, within ${count} connections`).toEqual([]);
    log.lines.length = 0;
  } while (performance.now() < endMs);
  process.stderr.write(`fuzz: http2, seed ${SEED}: ${count} connections\n`);
  await until(() => endpoint.counts.connections === 0, "the end of all connections");
  expect(endpoint.counts).toMatchObject({ receipts: 0, halfReceivedBytes: 0 });
  expect(process.memoryUsage().rss - beginBytes).toBeLessThan(GROWTH_BYTES_MAX);
  const route = await call(connectTo(endpoint), "QueryRoute", {
    topic: TOPIC,
    endpoints: { scheme: 1, addresses: [] },
  });
  expect(route.status.code).toBe(20000);
});
