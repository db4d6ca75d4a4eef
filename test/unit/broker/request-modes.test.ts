import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { TestBroker } from "./harness.js";

const SET = 401;
const ALL = 402;
const PATH = "/data/store/config/messageRequestMode.json";

function brokerWith(disk?: MemoryDisk): TestBroker {
  const broker = new TestBroker({}, {}, disk);
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  return broker;
}

const set = (broker: TestBroker, mode: object) => broker.askLate(SET, {}, JSON.stringify(mode));

test("a mode is on the disk when it is acknowledged, and there again after a restart", async () => {
  const disk = new MemoryDisk();
  const broker = brokerWith(disk);
  const mode = { topic: "T", consumerGroup: "g", mode: "POP", popShareQueueNum: 8 };
  expect(await set(broker, mode)).toMatchObject({ code: 0, remark: "" });
  expect(disk.readFile(PATH)!.toString()).toContain('"popShareQueueNum":8');
  expect(broker.context.groups.get("g")).toBeDefined();
  const again = brokerWith(disk);
  expect(again.context.requestModes.get("T", "g")).toEqual(mode);
  expect(again.ask(ALL).body.toString()).toBe(
    '{"messageRequestModeMap":{"T":{"g":{"consumerGroup":"g","mode":"POP","popShareQueueNum":8,"topic":"T"}}}}',
  );
  expect((await set(again, { ...mode, mode: "PULL" })).code).toBe(0);
  expect(again.context.requestModes.get("T", "g")).toMatchObject({ mode: "PULL" });
});

test("what cannot be set is refused in Apache's words", async () => {
  const broker = brokerWith();
  const refusals = [
    [{ topic: "%RETRY%g", consumerGroup: "g" }, 16, "retry topic is not allowed to set mode"],
    [{ topic: "U", consumerGroup: "g" }, 17, "topic[U] not exist"],
    [{ topic: "T", consumerGroup: "a b" }, 26, "subscription group does not exist"],
  ] as const;
  for (const [mode, code, remark] of refusals) expect(await set(broker, mode)).toMatchObject({ code, remark });
  expect((await set(broker, { topic: "T", consumerGroup: "g", mode: "PUSH" })).code).toBe(1);
  expect(broker.ask(SET, {}, "none").code).toBe(1);
  expect(broker.ask(ALL).body.toString()).toBe('{"messageRequestModeMap":{}}');
});

test("entries of a file that are none are left out", () => {
  const disk = new MemoryDisk();
  disk.makeDirectory("/data/store/config");
  const good = '{"consumerGroup":"g","mode":"POP","popShareQueueNum":0,"topic":"T"}';
  disk.writeAtomically(
    PATH,
    `{"messageRequestModeMap":{"T":{"g":${good},"h":{"topic":"../x","consumerGroup":"h"}},"U":7}}`,
  );
  const { context, reports } = new TestBroker({}, {}, disk);
  expect(context.requestModes.get("T", "g")).toMatchObject({ mode: "POP" });
  expect(reports.find(({ path }) => path === PATH)).toMatchObject({ outcome: "loaded", droppedCount: 2 });
});
