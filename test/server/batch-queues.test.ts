/** A topic with batch queues (queue.type=BatchCQ) is read from stores that Apache wrote; sends to it are refused. */
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { ANSWER_MS, closeAll, send, startBroker } from "./harness.js";

afterEach(closeAll);

test("a send to a topic with batch queues is refused by name, and nothing is stored", async () => {
  const { broker, client } = await startBroker();
  const peer = client();
  const topic = "WithBatchQueues";
  const fields = { topic, defaultTopic: "TBW102", readQueueNums: 2, writeQueueNums: 2, perm: 6, topicSysFlag: 0 };
  const settings = { ...fields, topicFilterType: "SINGLE_TAG", order: false, attributes: "+queue.type=BatchCQ" };
  const made = await peer.call(RequestCode.UPDATE_AND_CREATE_TOPIC, settings, undefined, ANSWER_MS);
  expect(made).toMatchObject({ code: ResponseCode.SUCCESS });
  const before = broker.store.maxPhyOffset;
  const answer = await send(peer, { topic }, "x");
  expect(answer.code).toBe(ResponseCode.SYSTEM_ERROR);
  expect(answer.remark).toContain(topic);
  expect(answer.remark).toContain("BatchCQ");
  expect(broker.store.maxPhyOffset).toBe(before);
});
