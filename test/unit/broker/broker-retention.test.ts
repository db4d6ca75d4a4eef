import { expect, test } from "vitest";
import { Broker } from "#src/server/broker/broker.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { fill, HOUR_MS, RoomDisk, SEGMENT_BYTES, StoreClock } from "../store/harness.js";
import { TestBroker } from "./harness.js";

test("the store goes by the broker's options, and by their new values while it runs", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const config = defaultBrokerConfig({
    listenPort: 0,
    storePathRootDir: "/s",
    mappedFileSizeCommitLog: SEGMENT_BYTES,
    mappedFileSizeConsumeQueue: 400,
    maxHashSlotNum: 64,
    maxIndexNum: 101,
    fileReservedTime: 2,
  });
  const reading = { config, given: new Set(["mappedFileSizeCommitLog", "mappedFileSizeConsumeQueue"]) };
  const broker = await Broker.start({ reading, disk, clock });
  const { store } = broker;
  fill(store, 6);
  await store.settled();
  await clock.advance(60_000);
  expect(store.minPhyOffset).toBe(0);
  Object.assign(config, { maxLogBytes: 4 * SEGMENT_BYTES });
  await clock.advance(10_000);
  expect(store.minPhyOffset).toBe(2 * SEGMENT_BYTES);
  Object.assign(config, { diskSpaceWarningLevelRatio: 9 });
  await clock.advance(10_000);
  expect(store.diskFull).toBe(true);
  Object.assign(config, { diskSpaceWarningLevelRatio: 90 });
  await clock.advance(1000);
  expect(store.diskFull).toBe(false);
  clock.wallMs += 3 * HOUR_MS;
  expect(await store.deleteExpired()).toBe(3);
  await broker.close();
});

test("code 329 has expired segments deleted and is answered at once", () => {
  const broker = new TestBroker();
  expect(broker.ask(329)).toMatchObject({ code: 0 });
  expect(broker.store.expiredCalls).toBe(1);
});
