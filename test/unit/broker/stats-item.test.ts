import { expect, test } from "vitest";
import type { FastjsonMap } from "#src/remoting/fastjson.js";
import { SAMPLE_MS, StatsItem } from "#src/server/broker/stats-item.js";
import { TestBroker } from "./harness.js";

const STATS_DATA = 315;

/** Counts `perSample` in each of `samples` samples, two calls a sample. */
function counted(samples: number, perSample: number): StatsItem {
  const item = new StatsItem();
  for (let tick = 0; tick < samples; tick++) {
    item.add(perSample / 2);
    item.add(perSample / 2);
    item.sample(tick * SAMPLE_MS, tick);
  }
  return item;
}

test("nothing is kept of what never happened", () => {
  const item = new StatsItem();
  item.sample(0, 0);
  expect([item.minute(), item.hour(), item.day()]).toEqual(Array(3).fill({ sum: 0, tps: 0, avgpt: 0 }));
});

test("before the first sample nothing had happened, an interval ago", () => {
  const item = counted(1, 30);
  expect(item.minute()).toEqual({ sum: 30, tps: 3, avgpt: 15 });
  expect(item.hour()).toEqual({ sum: 30, tps: 30 / 600, avgpt: 15 });
  expect(item.day()).toEqual({ sum: 30, tps: 30 / 3600, avgpt: 15 });
});

test("a minute is six samples, an hour six of ten minutes, a day twenty-four hours", () => {
  const twoDays = (2 * 24 * 3600_000) / SAMPLE_MS;
  const item = counted(twoDays + 1, 20);
  expect(item.minute()).toEqual({ sum: 120, tps: 2, avgpt: 10 });
  expect(item.hour()).toEqual({ sum: 20 * 360, tps: 2, avgpt: 10 });
  expect(item.day()).toEqual({ sum: 20 * 360 * 24, tps: 2, avgpt: 10 });
});

test("what was idle for as long as samples reach back counts anew from what it had", () => {
  const item = counted(7, 30);
  for (let tick = 7; tick < 20; tick++) item.sample(tick * SAMPLE_MS, tick);
  expect(item.minute()).toEqual({ sum: 0, tps: 0, avgpt: 0 });
  item.add(60);
  item.sample(20 * SAMPLE_MS, 20);
  expect(item.minute()).toEqual({ sum: 60, tps: 6, avgpt: 60 });
  expect(item.hour().sum).toBe(30);
  item.sample(60 * SAMPLE_MS, 60);
  expect(item.hour()).toEqual({ sum: 30 * 7 + 60, tps: (30 * 7 + 60) / 1200, avgpt: (30 * 7 + 60) / 15 });
});

test("code 315 tells the counts of topics, groups and the broker, and refuses names it does not have", () => {
  const broker = new TestBroker();
  const { stats, topics } = broker.context;
  const topic = topics.createInSendMessage("T", "TBW102", "peer", 1, 0)!;
  stats.recordPut(topic, 3, 300);
  stats.recordGet(stats.groupGets("g", "T"), 2, 200);
  stats.groupGets("g", "T").sendBacks.add(1);
  stats.sample(topics.values());
  const minute = (statsName: string, statsKey: string) =>
    Object.fromEntries(broker.json(STATS_DATA, { statsName, statsKey }).get("statsMinute") as FastjsonMap);
  expect(minute("TOPIC_PUT_NUMS", "T")).toEqual({ sum: 3, tps: 0.3, avgpt: 3 });
  expect(minute("TOPIC_PUT_SIZE", "T")).toEqual({ sum: 300, tps: 30, avgpt: 300 });
  expect(minute("GROUP_GET_NUMS", "T@g")).toEqual({ sum: 2, tps: 0.2, avgpt: 2 });
  expect(minute("GROUP_GET_SIZE", "T@g")).toEqual({ sum: 200, tps: 20, avgpt: 200 });
  expect(minute("SNDBCK_PUT_NUMS", "T@g")).toEqual({ sum: 1, tps: 0.1, avgpt: 1 });
  expect(minute("BROKER_PUT_NUMS", "DefaultCluster")).toEqual({ sum: 3, tps: 0.3, avgpt: 0 });
  expect(minute("BROKER_GET_NUMS", "DefaultCluster")).toEqual({ sum: 2, tps: 0.2, avgpt: 0 });
  for (const [statsName, statsKey] of [
    ["TOPIC_PUT_NUMS", "nobody"],
    ["GROUP_GET_NUMS", "T"],
    ["BROKER_PUT_NUMS", "T"],
    ["constructor", "T"],
  ] as const) {
    expect(broker.ask(STATS_DATA, { statsName, statsKey })).toMatchObject({
      code: 1,
      remark: `The stats <${statsName}> <${statsKey}> not exist`,
    });
  }
  expect(broker.ask(STATS_DATA, { statsName: "TOPIC_PUT_NUMS" }).code).toBe(1);
});
