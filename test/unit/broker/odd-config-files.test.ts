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
