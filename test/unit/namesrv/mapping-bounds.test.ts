import { expect, test } from "vitest";
import { ROUTE_LIMITS, RouteTable } from "#src/server/namesrv/route-table.js";
import { readTopicConfig } from "#src/server/protocol/topic-config.js";
import { FakeClock } from "./harness.js";

const ADDRESS = "10.0.0.1:10911";
const BROKER = { clusterName: "C", brokerName: "a", brokerId: 0, brokerAddr: ADDRESS, haServerAddr: "" };
const TOPICS = new Map(["T", "U"].map((name) => [name, readTopicConfig(new Map(), name)]));

function info(topic: string, queues: number, more: object = {}) {
  const currIdMap = new Map(Array.from({ length: queues }, (_, id) => [id, id] as const));
  const rest = { scope: "__global__", totalQueues: queues, bname: "a", epoch: 1, dirty: false };
  return [topic, { topic, ...rest, currIdMap, ...more }] as const;
}

test("mappings of static topics have their bounds, and give their room back", () => {
  const limits = { ...ROUTE_LIMITS, mappedQueuesMax: 10, queueNumsMax: 16, nameCharsMax: 20 };
  const table = new RouteTable({ clock: new FakeClock(), limits });
  let counter = 1;
  const tell = (...infos: ReturnType<typeof info>[]) =>
    table.register({
      ...BROKER,
      dataVersion: { stateVersion: 0, timestamp: 1, counter: counter++ },
      topicConfigTable: TOPICS,
      topicQueueMappingInfoMap: new Map(infos),
    });
  const mapped = () =>
    ["T", "U"].map((name) => table.topicRouteData(name)!.topicQueueMappingByBroker?.get("a")?.currIdMap.size);
  tell(info("T", 17), info("U", 2, { scope: "x".repeat(21) }));
  expect(mapped()).toEqual([undefined, undefined]);
  tell(info("T", 6), info("U", 5));
  expect(mapped()).toEqual([6, undefined]);
  tell(info("T", 3));
  tell(info("U", 7));
  expect(mapped()).toEqual([3, 7]);
  table.deleteTopic("T");
  table.unregister("C", ADDRESS, "a");
  tell(info("T", 5), info("U", 5));
  tell(info("T", 2), info("U", 8));
  expect(mapped()).toEqual([2, 8]);
});
