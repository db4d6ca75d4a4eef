/**
 * The store of a real broker whose consumers popped: the checkpoints and acknowledgements in its revive topic are read as
 * if Apache had not come to them yet, and the same messages are given out again as Apache gave out, alike, and no
 * others.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { formatProperties } from "#src/record/properties.js";
import { FlushWaiters } from "#src/server/broker/flush-waiters.js";
import { PopService } from "#src/server/broker/pop/pop-service.js";
import { FakeClock } from "../unit/broker/harness.js";
import { StoreBroker } from "../unit/broker/store-broker.js";
import { extractStore } from "./golden-store.js";

const REVIVE_TOPIC = "rmq_sys_REVIVE_LOG_DefaultCluster";
const RETRIES = ["%RETRY%golden-pop_GoldenPop", "%RETRY%golden-pop2_GoldenPop"];

const golden = extractStore("broker");
const root = join(golden.dir, "store");
const offsetPath = join(root, "config", "consumerOffset.json");
const closers: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closers) await close();
});

async function open(clock: FakeClock) {
  const base = await StoreBroker.open({
    disk: new FileDisk("file"),
    clock,
    config: { storePathRootDir: root, traceTopicEnable: true, brokerName: "broker-a" },
    store: {
      segmentBytes: undefined,
      queueFileBytes: undefined,
      indexSizes: {
        maxHashSlotNum: Number(golden.conf.get("maxHashSlotNum")),
        maxIndexNum: Number(golden.conf.get("maxIndexNum")),
      },
      threads: false,
    },
  });
  const service = new PopService(base.broker.context, base.store, new FlushWaiters(clock));
  closers.push(async () => {
    service.close();
    await base.close();
  });
  return { base, service };
}

test("what Apache would have given out again comes again, as Apache made it", async () => {
  const file = readFileSync(offsetPath, "utf8");
  const rewound = file.replace(new RegExp(`"${REVIVE_TOPIC}@CID_RMQ_SYS_REVIVE_GROUP":\\{[^}]*\\}`), `"X@Y":{0:0}`);
  expect(rewound).not.toBe(file);
  writeFileSync(offsetPath, rewound);
  const clock = new FakeClock();
  const { base, service } = await open(clock);
  const { broker } = base;
  const made = () =>
    RETRIES.flatMap((topic) => base.messages(topic)).map((message) => ({
      topic: message.topic,
      body: message.body.toString(),
      properties: formatProperties(message.properties),
      reconsumeTimes: message.reconsumeTimes,
      flag: message.flag,
      sysFlag: message.sysFlag,
      bornTimestamp: message.bornTimestamp,
    }));
  const apaches = made();
  expect(apaches).toHaveLength(6);

  service.recover();
  service.start();
  for (let i = 0; i < 20; i++) await base.advance(1000);
  const sorted = (list: object[]) => list.map((one) => JSON.stringify(one)).sort();
  expect(sorted(made())).toEqual(sorted([...apaches, ...apaches]));
  expect(service.state.leases.size).toBe(0);
  // Everything in the revive topic is done with; Apache would go on behind it.
  const done = [0, 1, 2, 6].map((id) =>
    broker.context.offsets.queryOffset("CID_RMQ_SYS_REVIVE_GROUP", REVIVE_TOPIC, id),
  );
  expect(done).toEqual([4, 4, 13, 4]);
});
