/** What operators ask of a running consumer by way of its broker. */
import { afterAll, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { listIn, mapIn, parseFastjson, textIn } from "#src/remoting/fastjson.js";
import { ANSWER_MS, clientOf, closeAll } from "../server/harness.js";
import { AS_USER, consumerOf, createTopic, freshName, producerOf, SIGNED, startServer, until } from "./harness.js";

afterAll(closeAll);

test("running info, and a message consumed directly", async () => {
  const namesrvAddr = await startServer();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const consumerGroup = freshName("G");
  const got: string[] = [];
  const consumer = await consumerOf({
    namesrvAddr,
    group: consumerGroup,
    subscriptions: { [topic]: "A" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const { offsetMessageId } = await producer.send({ topic, body: "x", tags: "A" });
  await until(() => got.length === 1);
  await using admin = await Admin.start({ namesrvAddr, ...AS_USER });
  const [broker] = await admin.brokers();
  const client = clientOf(Number(broker!.addresses.get(0)!.split(":").at(-1)), SIGNED);
  const { clientId } = consumer;

  const fields = { consumerGroup, clientId, jstackEnable: false };
  const info = await client.call(RequestCode.GET_CONSUMER_RUNNING_INFO, fields, undefined, ANSWER_MS);
  expect(info.code).toBe(ResponseCode.SUCCESS);
  const map = parseFastjson(info.body);
  expect(textIn(mapIn(map, "properties"), "PROP_CONSUME_TYPE")).toBe("CONSUME_PASSIVELY");
  expect(mapIn(map, "mqTable")?.size).toBe(consumer.assignment.length);
  expect(listIn(map, "subscriptionSet")?.map((one) => textIn(one, "topic"))).toContain(topic);

  const directly = { consumerGroup, clientId, msgId: offsetMessageId, brokerName: broker!.brokerName, topic };
  const answer = await client.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, directly, undefined, ANSWER_MS);
  expect(textIn(parseFastjson(answer.body), "consumeResult")).toBe("CR_SUCCESS");
  expect(got).toEqual(["x", "x"]);
});
