/** Requests that wait are tried again outside every processor: what is thrown there must reach nobody but their client. */
import { expect, test, vi } from "vitest";
import { CometError } from "#src/base/errors.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { PullMessage } from "#src/server/broker/pull-message.js";
import { GROUP, PopLife, TOPIC } from "../../property/pop-fixture.js";

const GROUP_AND_TOPIC = { consumerGroup: GROUP, topic: TOPIC };
const PULL: Fields = {
  ...GROUP_AND_TOPIC,
  queueId: 0,
  queueOffset: 0,
  maxMsgNums: 32,
  sysFlag: 6,
  commitOffset: 0,
  suspendTimeoutMillis: 20_000,
  subscription: "*",
  subVersion: 0,
};
const WAIT: Fields = { ...GROUP_AND_TOPIC, queueId: -1, bornTime: 0, pollTime: 20_000 };
const POP: Fields = { ...WAIT, maxMsgNums: 32, invisibleTime: 60_000, initMode: 0, expType: "TAG", exp: "*" };

test.each([
  ["a pull", RequestCode.PULL_MESSAGE, PULL],
  ["a pop", RequestCode.POP_MESSAGE, POP],
  ["a notification", RequestCode.NOTIFICATION, WAIT],
] as const)("%s whose later attempt fails is answered, and those after it wait as ever", async (_, code, fields) => {
  const life = await new PopLife(1).open();
  const { broker, store } = life.base;
  new PullMessage(broker.context, store).register(broker.processors);
  const parked = broker.askLate(code, fields);
  const fails = () => {
    throw new CometError("COMETMQ_HANDLES", "Too many files are open.");
  };
  const failing = [
    vi.spyOn(store, "get").mockImplementation(fails),
    vi.spyOn(life.service.state, "peekOffset").mockImplementation(fails),
  ];
  await life.send("first", 0);
  await life.advance(20_000);
  expect(await parked).toMatchObject({
    code: 1,
    remark: expect.stringMatching(/^CometError: Too many files are open/),
  });
  expect(life.base.log.at("error", / failed$/)).toHaveLength(1);
  for (const spy of failing) spy.mockRestore();
  const later = broker.askLate(code, { ...fields, queueOffset: 1 });
  await life.send("second", 0);
  expect(await later).toMatchObject({ code: 0 });
  await life.close();
});

test("a pull that would be one too many to wait is told so at once", async () => {
  const life = await new PopLife(1).open();
  const { broker, store } = life.base;
  new PullMessage(broker.context, store, 2).register(broker.processors);
  const waiting = [broker.askLate(RequestCode.PULL_MESSAGE, PULL), broker.askLate(RequestCode.PULL_MESSAGE, PULL)];
  const refused = broker.ask(RequestCode.PULL_MESSAGE, PULL);
  expect([refused.code, refused.remark]).toEqual([ResponseCode.SYSTEM_BUSY, "2 pulls wait for messages already."]);
  await life.send("first", 0);
  for (const answer of waiting) expect(await answer).toMatchObject({ code: ResponseCode.SUCCESS });
  await life.close();
});

test("a pop that waits takes nothing of a topic that may not be read any more", async () => {
  const life = await new PopLife(1).open();
  const parked = life.askLate(RequestCode.POP_MESSAGE, POP);
  const topic = life.base.broker.context.topics.get(TOPIC)!;
  topic.assign({ perm: 2 });
  await life.send("first", 0);
  await life.advance(20_000);
  expect(await parked).toMatchObject({ code: ResponseCode.POLLING_TIMEOUT });
  topic.assign({ perm: 6 });
  expect(life.pop().map(({ body }) => body)).toEqual(["first"]);
  await life.close();
});
