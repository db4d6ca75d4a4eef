/**
 * What a send is told goes out after its message is in the log's files: where that fails nobody is told anything, for the
 * connection is cut, and the store that has failed goes on serving those who read.
 */
import { afterEach, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { until } from "../unit/remoting/peers.js";
import { call, connectTo, encoded, gather, message, open, startEndpoint } from "./grpc-client.js";
import { bodiesOf, closeAll, pull, send } from "./harness.js";

afterEach(closeAll);

class BreakingDisk extends MemoryDisk {
  broken = false;
  writes = 0;

  override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const segment = super.openSegment(path, baseOffset, sizeBytes);
    const write = segment.write.bind(segment);
    segment.write = (...piece) => {
      if (this.broken) throw new CometError("COMETMQ_IO", "The disk is broken.");
      this.writes++;
      write(...piece);
    };
    return segment;
  }
}

async function started() {
  const disk = new BreakingDisk();
  const all = await startEndpoint({ disk });
  all.broker.context.topics.createInSendMessage("T", "TBW102", "", 1, 0);
  return { ...all, disk };
}

test("Remoting: sends that were handled together with the one that failed are all cut off, and others are served", async () => {
  const { broker, client, disk } = await started();
  const [producer, consumer] = [client(), client()];
  expect((await send(producer, { topic: "T", queueId: 0 }, "good")).code).toBe(ResponseCode.SUCCESS);
  disk.broken = true;
  const sends = await Promise.allSettled(
    Array.from({ length: 5 }, () => send(producer, { topic: "T", queueId: 0 }, "lost")),
  );
  expect(sends.map(({ status }) => status)).toEqual(new Array<string>(5).fill("rejected"));
  expect(broker.store.failure).toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
  expect(bodiesOf(await pull(consumer, { topic: "T", queueId: 0 }))).toEqual(["good"]);
  const refused = await send(client(), { topic: "T", queueId: 0 }, "late");
  expect(refused.code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE);
});

test("gRPC: the same", async () => {
  const { broker, endpoint, disk } = await started();
  const session = connectTo(endpoint);
  session.on("error", () => {});
  const request = { messages: [message()] };
  expect((await call(session, "SendMessage", request))["status"].code).toBe(20_000);
  disk.broken = true;
  const sends = Array.from({ length: 3 }, () =>
    gather(open(session, "SendMessage"), "SendMessage", encoded("SendMessage", request)),
  );
  for (const outcome of await Promise.allSettled(sends)) {
    // A stream that is cut off may end without an error; what counts is that nobody was told that his message is kept.
    if (outcome.status === "fulfilled") expect(outcome.value.messages).toEqual([]);
  }
  await until(() => session.destroyed, "the connection to be cut");
  expect(broker.store.failure).toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
});

test("what is sent in one go is written in one go, before it is answered", async () => {
  const { client, disk } = await started();
  const producer = client();
  await send(producer, { topic: "T", queueId: 0 }, "first");
  const before = disk.writes;
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => send(producer, { topic: "T", queueId: 0 }, `m${i}`)),
  );
  expect(answers.every(({ code }) => code === ResponseCode.SUCCESS)).toBe(true);
  expect(disk.writes - before).toBeLessThan(10);
});
