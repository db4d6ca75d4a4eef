/** JSON that is whole and not what a table is: the broker starts, says so, and takes what can be taken. */
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { FakeLog, TestBroker } from "./harness.js";

const FILES = [
  ...["topics.json", "subscriptionGroup.json", "consumerOffset.json", "delayOffset.json", "messageRequestMode.json"],
  ...["topicQueueMapping.json", "transactionMetrics", "timermetrics", "consumerFilter.json", "queueLocks.json"],
];
const MEMBERS = [
  ...["dataVersion", "topicConfigTable", "subscriptionGroupTable", "forbiddenTable", "offsetTable", "lockTable"],
  ...["messageRequestModeMap", "topicQueueMappingInfoMap", "transactionCount", "timingCount", "filterDataByTopic"],
  ...["users", "acls"],
];
const ODD = [
  ...["1", '"x"', "[]", "[1]", '{"a":1}', '{"a":[]}', '{"a":{"b":1}}', '{"a":{"b":[]}}', "{{}:{}}"],
  ...['{"a":{"groupFilterData":[1]}}', '{"a":{"groupFilterData":{"b":1}}}'],
];

function diskWith(name: string, value: string): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeDirectory("/data/store/config");
  disk.writeAtomically(`/data/store/config/${name}`, `{${MEMBERS.map((member) => `"${member}":${value}`).join()}}`);
  return disk;
}

test.each(FILES)("%s", (name) => {
  for (const value of ODD) {
    const { reports } = new TestBroker({}, {}, diskWith(name, value));
    expect(reports.find(({ path }) => path.endsWith(name))).toMatchObject({ outcome: "loaded" });
  }
});

test.each(["users.json", "acls.json"])("%s, with which nobody may do anything", (name) => {
  for (const value of ODD) {
    const config = defaultBrokerConfig({ authorizationEnabled: true, storePathRootDir: "/data/store" });
    const log = new FakeLog();
    const { control } = openAccess({ reading: { config }, disk: diskWith(name, value), log })!;
    expect([control.users.size, [...control.acls.entries()]]).toEqual([0, []]);
    expect(log.at("warn", /were left out/)).toHaveLength(1);
  }
});

test("a topic whose name is damaged in one of its two places is reached by the right one", () => {
  const disk = new MemoryDisk();
  disk.makeDirectory("/data/store/config");
  const topic = (topicName: string, queues: number) =>
    `{"topicName":"${topicName}","perm":6,"readQueueNums":${queues},"writeQueueNums":${queues}}`;
  const table = [
    `"D0":${topic("E0", 3)}`,
    `"F0":${topic("../x", 5)}`,
    `"G0":${topic("H0", 6)}`,
    `"H0":${topic("H0", 7)}`,
  ];
  table.push(`"..":${topic("..", 8)}`);
  disk.writeAtomically("/data/store/config/topics.json", `{"topicConfigTable":{${table.join()}}}`);
  const { context, reports } = new TestBroker({}, {}, disk);
  const counts = ["D0", "E0", "F0", "../x", "G0", "H0", ".."].map((name) => context.topics.get(name)?.readQueueNums);
  expect(counts).toEqual([3, 3, 5, undefined, 6, 7, undefined]);
  expect(context.topics.get("E0")?.topicName).toBe("E0");
  expect(reports.find(({ path }) => path.endsWith("topics.json"))).toMatchObject({ droppedCount: 1 });
});

test("files that an administrator edited by hand, as Apache's would be read, are read and lose nothing", async () => {
  const disk = new MemoryDisk();
  disk.makeDirectory("/data/store/config");
  const write = (name: string, text: string) => disk.writeAtomically(`/data/store/config/${name}`, text);
  const version = `"dataVersion":{"counter":"7","stateVersion":0,"timestamp":1},`;
  write(
    "topics.json",
    `\ufeff// more queues\n{${version}"topicConfigTable":{\n\t"T":{"topicName":"T","perm":"6","readQueueNums":"3",
      "writeQueueNums":3,"order":"true","attributes":{"+message.type":null,},}, // the last\n},}\n`,
  );
  const group = `{'groupName':'g','retryMaxTimes':"5",'consumeEnable':1,'unknown':[null,],},`;
  write("subscriptionGroup.json", `{${version}/* no forbiddenTable */"subscriptionGroupTable":{"g":${group}}}`);
  write("consumerOffset.json", `{${version}"offsetTable":{"T@g":{"0":"12",1:13L,},},}`);
  const broker = new TestBroker({}, {}, disk);
  const check = ({ context: { topics, groups, offsets } }: TestBroker) => {
    expect(topics.get("T")).toMatchObject({ readQueueNums: 3, writeQueueNums: 3, perm: 6, order: true });
    expect(groups.get("g")).toMatchObject({ retryMaxTimes: 5, consumeEnable: true });
    expect([0, 1].map((queueId) => offsets.queryOffset("g", "T", queueId))).toEqual([12, 13]);
    expect(topics.dataVersion.counter).toBe(7);
  };
  expect(broker.reports.filter(({ outcome, problems }) => outcome === "lost" || problems.length > 0)).toEqual([]);
  check(broker);
  for (const { saver } of [broker.context.topics, broker.context.groups, broker.context.offsets]) {
    saver.markDirty();
    expect(await saver.saveIfDirty()).toBeUndefined();
  }
  check(new TestBroker({}, {}, disk));
});
