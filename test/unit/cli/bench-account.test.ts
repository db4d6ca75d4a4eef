/** The account of a wire benchmark: what does not add up is said, and nothing else. */
import { expect, test } from "vitest";
import { accountOf } from "#src/cli/bench/account.js";
import { Latencies } from "#src/cli/bench/latencies.js";
import { Receipts } from "#src/cli/bench/receipts.js";
import { SendLoad } from "#src/cli/bench/send-load.js";
import { stamp, StampVerdict, StampView, unstampedBody } from "#src/cli/bench/stamp.js";

const RUN = 7;

function sent(count: number): SendLoad {
  const load = new SendLoad();
  load.sentCount = count;
  for (let number = 0; number < count; number++) load.acknowledged.add(number);
  return load;
}

function received(numbers: readonly number[]): Receipts {
  const receipts = new Receipts("G", RUN);
  const body = unstampedBody(64);
  for (const number of numbers) {
    stamp(body, 0, body.length, RUN, number, 0);
    receipts.take(body, 0, body.length, 1);
  }
  return receipts;
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i);

test("sent = stored = received", () => {
  const { problems, ...account } = accountOf(sent(200_000), 200_000, [received(upTo(200_000))]);
  expect(problems).toEqual([]);
  expect(account).toMatchObject({ sent: 200_000, stored: 200_000, receipts: [{ received: 200_000, duplicates: 0 }] });
});

test("what is missing, stored too often, or came twice", () => {
  const problemsOf = (stored: number, numbers: readonly number[]): readonly string[] =>
    accountOf(sent(10), stored, [received(numbers)]).problems;
  expect(problemsOf(9, upTo(9))).toEqual([
    "10 were acknowledged, but only 9 are stored.",
    "G did not receive 1 that were acknowledged, first number 9.",
  ]);
  expect(problemsOf(10, [0, 1, 2, 4, 5, 6, 7, 8, 9])).toEqual([
    "G did not receive 1 that were acknowledged, first number 3.",
  ]);
  expect(problemsOf(11, [...upTo(10), 4])).toEqual([
    "11 are stored, but at most 10 can be.",
    "G received 1 more than once.",
  ]);
  expect(problemsOf(11, upTo(10))).toEqual(["11 are stored, but at most 10 can be.", "G received 10 of 11 stored."]);
});

test("a message that was never answered may be stored, or not", () => {
  const load = sent(10);
  load.sentCount = 11;
  load.unansweredCount = 1;
  const never = "1 of the messages sent were never answered.";
  expect(accountOf(load, 10, [received(upTo(10))]).problems).toEqual([never]);
  expect(accountOf(load, 11, [received(upTo(11))]).problems).toEqual([never]);
  expect(accountOf(load, 12, [received(upTo(11))]).problems.length).toBe(3);
});

test("a server that has gone can not be asked what is stored", () => {
  const { problems, stored } = accountOf(sent(10), undefined, [received(upTo(9))]);
  expect(stored).toBeNull();
  expect(problems).toEqual([
    "What is stored could not be asked.",
    "G did not receive 1 that were acknowledged, first number 9.",
  ]);
});

test("any byte of a body that changes is noticed", () => {
  const body = unstampedBody(100);
  const view = new StampView();
  stamp(body, 0, 100, RUN, 4_000_000_000, 12.5);
  expect(view.read(body, 0, 100, RUN)).toBe(StampVerdict.MINE);
  expect([view.number, view.dueUs]).toEqual([4_000_000_000, 12.5]);
  for (let i = 0; i < 100; i++) {
    body[i]! ^= 0x10;
    expect(view.read(body, 0, 100, RUN)).not.toBe(StampVerdict.MINE);
    body[i]! ^= 0x10;
  }
  expect(view.read(body, 0, 99, RUN)).toBe(StampVerdict.CORRUPT);
  expect(view.read(body, 0, 100, RUN + 1)).toBe(StampVerdict.FOREIGN);
});

test("what was due and not sent counts with the time that it has waited", () => {
  const load = new SendLoad();
  load.numberEnd = 1000;
  load.measureFromUs = 0;
  load.start(0, 100);
  load.sentCount = 50;
  // Number 50 was due after half a second; now one and a half have passed.
  expect(load.countUnsent(1_500_000)).toBe(100);
  const { count, maxUs, p50Us } = load.latencies.figures()!;
  expect(count).toBe(100);
  expect(maxUs / 1e6).toBeCloseTo(1, 2);
  expect(p50Us / 1e6).toBeCloseTo(0.5, 1);
});

test("percentiles of known latencies, over the seconds together", () => {
  const latencies = new Latencies();
  for (let us = 1; us <= 10_000; us++) {
    latencies.record(us);
    if (us === 4000) expect(latencies.endSecond()).toMatchObject({ count: 4000, maxUs: 4000 });
  }
  const figures = latencies.figures()!;
  expect(figures.count).toBe(10_000);
  for (const [us, expected] of [
    [figures.p50Us, 5000],
    [figures.p90Us, 9000],
    [figures.p99Us, 9900],
    [figures.p999Us, 9990],
    [figures.maxUs, 10_000],
  ] as const) {
    expect(Math.abs(us - expected) / expected).toBeLessThan(0.002);
  }
});
