import { expect, test } from "vitest";
import { FakeClock, FakeLog, TestBroker } from "./harness.js";
import { RepeatLog } from "#src/server/repeat-log.js";

test("a text is said a hundred times a minute, each for itself, and the rest counted", () => {
  const clock = new FakeClock();
  const log = new FakeLog();
  const bounded = new RepeatLog(log, clock);
  for (let i = 0; i < 250; i++) bounded.warn({ i }, "often");
  for (let i = 0; i < 250; i++) bounded.info({ i }, "told");
  bounded.error({}, "once");
  expect([log.at("warn", /often/).length, log.at("info", /told/).length]).toEqual([100, 250]);
  expect(log.at("error", /once/)).toHaveLength(1);
  clock.advance(60_000);
  expect(log.at("warn", /beyond .*: often/)).toEqual([{ unsaidCount: 150 }]);
  bounded.warn({}, "often");
  expect(log.at("warn", /^often$/)).toHaveLength(101);
  clock.advance(120_000);
  expect(log.at("warn", /beyond/)).toHaveLength(1);
});

test("a client that sends bad requests without end does not fill the log", () => {
  const broker = new TestBroker();
  for (let i = 0; i < 500; i++) expect(broker.ask(30, { topic: "T", queueId: "x" }).code).toBe(1);
  expect(broker.log.lines.length).toBeLessThanOrEqual(100);
  broker.clock.advance(60_000);
  expect(broker.log.at("warn", /a request is refused/).at(-1)).toEqual({ unsaidCount: 400 });
});
