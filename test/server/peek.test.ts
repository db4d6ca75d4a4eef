/** Peeking (code 200052): messages without a lease. */
import { afterEach, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecords } from "#src/record/decode.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { ANSWER_MS, closeAll, send, startBroker } from "./harness.js";
import { GROUP, makeTopic, TOPIC } from "./pop-harness.js";

afterEach(closeAll);

test("what a peek answers is bounded over all its queues, and tells how much there is", async () => {
  const config = { maxTransferBytesOnMessageInMemory: 10_000 };
  const started = await startBroker({ disk: new MemoryDisk(), config });
  makeTopic(started, TOPIC, 8);
  const client = started.client();
  for (let queueId = 0; queueId < 8; queueId++) {
    for (let i = 0; i < 2; i++) expect((await send(client, { queueId }, "x".repeat(4000))).code).toBe(0);
  }
  const peek = async (queueId: number) => {
    const fields = { consumerGroup: GROUP, topic: TOPIC, queueId, maxMsgNums: 32 };
    const answer = await client.call(RequestCode.PEEK_MESSAGE, fields, undefined, ANSWER_MS);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
    return { count: decodeRecords(answer.body).length, restNum: answer.fields.restNum };
  };
  // The queue that is come to with room left shows one message, however large.
  expect(await peek(-1)).toEqual({ count: 3, restNum: "16" });
  expect(await peek(5)).toEqual({ count: 2, restNum: "2" });
});
