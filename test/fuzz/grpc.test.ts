/**
 * The gRPC endpoint over sockets, with requests that were made of sound ones by changing their bytes: every call ends, none
 * with an error of the endpoint's own, nothing is held afterwards, and it serves. COMETMQ_FUZZ_SECONDS and COMETMQ_SEED as in
 * frames.test.ts.
 */
import { afterAll, expect, test } from "vitest";
import { loadMethods } from "#src/grpc/proto.js";
import { call, connectTo, gather, open, startEndpoint, TOPIC } from "../server/grpc-client.js";
import { closeAll, send } from "../server/harness.js";
import { until } from "../unit/remoting/peers.js";
import { changed, keep, keptInputs } from "./bytes.js";
import { Dice } from "./mutations.js";
import { protoSeeds } from "./targets.js";

const SECONDS = Number(process.env["COMETMQ_FUZZ_SECONDS"] ?? 1);
const SEED = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);
const METHODS = [...loadMethods().keys()];
const ENCODINGS = ["identity", "gzip", "deflate", "br"];
const CALLS = 30;
/** Streams that stay open by right are given up then. */
const CALL_MS_MAX = 400;
/** UNKNOWN, INTERNAL and DATA_LOSS: of an endpoint that did not expect what it got, but for bytes that are no message. */
const FAILED: readonly number[] = [2, 13, 15];
const UNREADABLE =
  /^(Application error processing RPC$|\w+ takes one message, and |the last message is not whole$|process client telemetryCommand failed\. Client type is not consumer, |.*malformed|.*encoding)/i;

afterAll(closeAll);

test("a storm of gRPC requests that no client would send", { timeout: SECONDS * 1000 + 60_000 }, async () => {
  const started = await startEndpoint({ config: { topicCountMax: 300, groupCountMax: 300 } });
  await send(started.client(), { topic: TOPIC.name }, "before");
  const { endpoint, log } = started;
  const dice = new Dice(SEED);
  const pool = [...keptInputs("grpc"), ...protoSeeds()];
  const endMs = performance.now() + SECONDS * 1000;
  let sent = 0;
  let session = connectTo(endpoint);
  while (performance.now() < endMs) {
    if (session.destroyed || session.closed || dice.rarely(20)) {
      session.destroy();
      session = connectTo(endpoint);
    }
    const batch = Array.from({ length: CALLS }, () =>
      changed(dice, dice.one(pool), dice.one(pool), ["T", "G", "../x"]),
    );
    const results = batch.map(async (bytes) => {
      const method = METHODS[(bytes[0] ?? 0) % METHODS.length]!;
      const encoding = ENCODINGS[(bytes[1] ?? 0) & 3]!;
      const clientId = dice.one(["a", "b", "", "../../x", "__proto__"]);
      const stream = open(session, method, {
        "grpc-timeout": "100m",
        "grpc-encoding": encoding,
        "x-mq-client-id": clientId,
      });
      const limit = setTimeout(() => stream.destroy(), CALL_MS_MAX);
      const result = await gather(stream, method, Buffer.from(bytes.subarray(2)));
      clearTimeout(limit);
      if (FAILED.includes(result.grpcStatus) && !UNREADABLE.test(result.grpcMessage)) {
        throw new Error(`${method}: ${result.grpcStatus} ${result.grpcMessage}, input in ${keep("grpc", bytes)}`);
      }
      for (const { status } of result.messages) {
        if (status?.code !== 50001 || !/Error|undefined|null/.test(status.message)) continue;
        throw new Error(`${method}: ${status.message}, input in ${keep("grpc", bytes)}`);
      }
    });
    await Promise.all(results);
    sent += CALLS;
    const errors = log.at("error", /./);
    if (errors.length > 0) for (const bytes of batch) keep("grpc", bytes);
    expect(errors, `seed ${SEED}, within ${sent} calls`).toEqual([]);
    log.lines.length = 0;
  }
  session.destroy();
  process.stderr.write(`fuzz: grpc, seed ${SEED}: ${sent} calls\n`);
  await until(() => endpoint.counts.connections === 0, "the end of all connections");
  const route = await call(connectTo(endpoint), "QueryRoute", {
    topic: TOPIC,
    endpoints: { scheme: 1, addresses: [] },
  });
  expect(route.status.code).toBe(20000);
  expect(Object.keys(Object.prototype)).toEqual([]);
});
