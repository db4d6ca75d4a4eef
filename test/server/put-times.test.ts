/** How long puts and gets take is sampled on the way, and shown with the broker's runtime information. */
import { afterEach, expect, test, vi } from "vitest";
import { RequestCode } from "#src/remoting/codes.js";
import { parseFastjson } from "#src/remoting/fastjson.js";
import { ANSWER_MS, closeAll, pull, send, startBroker } from "./harness.js";

afterEach(closeAll);

test("one put and one get in 64 is timed", async () => {
  const { broker, client } = await startBroker();
  const { stats } = broker.context;
  const puts = vi.spyOn(stats, "recordPutTime");
  const gets = vi.spyOn(stats, "recordGetTime");
  const producer = client();
  await Promise.all(Array.from({ length: 128 }, (_, i) => send(producer, {}, `m${i}`)));
  expect(puts).toHaveBeenCalledTimes(2);
  await Promise.all(Array.from({ length: 64 }, () => pull(producer)));
  expect(gets).toHaveBeenCalledTimes(1);
  for (const [elapsedMs] of [...puts.mock.calls, ...gets.mock.calls]) expect(elapsedMs).toBeGreaterThanOrEqual(0);
  stats.recordPutTime(12.6);
  stats.recordGetTime(7);
  const info = await producer.call(RequestCode.GET_BROKER_RUNTIME_INFO, {}, undefined, ANSWER_MS);
  const table = (parseFastjson(info.body) as Map<string, Map<string, string>>).get("table")!;
  expect(Number(table.get("putMessageEntireTimeMax"))).toBeGreaterThanOrEqual(13);
  const counts = [...table.get("putMessageDistributeTime")!.matchAll(/(\S+):(\d+) /g)];
  expect(counts.map(([, range]) => range)).toContain("[10~50ms]");
  expect(counts.reduce((sum, [, , count]) => sum + Number(count), 0)).toBe(3);
  expect(Number(table.get("getMessageEntireTimeMax"))).toBeGreaterThanOrEqual(7);
});

test("a put that waits for the disk is timed until it is there", async () => {
  const { broker, client } = await startBroker({ config: { flushDiskType: "SYNC_FLUSH" } });
  const puts = vi.spyOn(broker.context.stats, "recordPutTime");
  const producer = client();
  for (let i = 0; i < 3; i++) expect((await send(producer, {}, `m${i}`)).code).toBe(0);
  expect(puts).toHaveBeenCalledTimes(3);
});
