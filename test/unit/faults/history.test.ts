/** The judge of the fault suite is judged: a history without fault passes, and each rule finds the one that breaks it. */
import { expect, test } from "vitest";
import {
  checkHistory,
  type Committed,
  type Content,
  emptyHistory,
  type Handled,
  hashOf,
  type History,
  type Observed,
  type Seen,
  type Sent,
  undelivered,
} from "../../faults/history.js";

const OPTIONS = { finalReader: "all", commitsKeptAfterMs: 100 };
const QUEUE = "T/0";
const content = (i: number): Content => ({ key: `k${i}`, hash: hashOf(Buffer.from(`body ${i}`)) });

function sent(i: number, fields: Partial<Sent> = {}): Sent {
  const times = { invokedMs: i * 10, completedMs: i * 10 + 5 };
  return { sender: "a", queue: QUEUE, ...content(i), ...times, outcome: "acked", queueOffset: i, ...fields };
}

function seen(i: number, reader = "all"): Seen {
  return { reader, queue: QUEUE, queueOffset: i, atMs: 1000, ...content(i) };
}

function handled(i: number, fields: Partial<Handled> = {}): Handled {
  const times = { startedMs: 100 + i * 10, endedMs: 105 + i * 10 };
  return { group: "G", consumer: "c", queue: QUEUE, queueOffset: i, ...times, ...fields };
}

function committed(offset: number, fields: Partial<Committed> = {}): Committed {
  const times = { invokedMs: 200 + offset * 10, completedMs: 205 + offset * 10 };
  return { group: "G", queue: QUEUE, offset, ...times, outcome: "acked", ...fields };
}

function observed(offset: number, atMs: number): Observed {
  return { group: "G", queue: QUEUE, offset, invokedMs: atMs, completedMs: atMs + 2 };
}

const I = [0, 1, 2, 3, 4];

function fine(): History {
  return {
    sent: I.map((i) => sent(i)),
    seen: [...I.map((i) => seen(i, "c")), ...I.map((i) => seen(i))],
    handled: [...I.map((i) => handled(i)), handled(3, { startedMs: 500, endedMs: 501 })],
    committed: I.map((i) => committed(i)),
    observed: [observed(-1, 190), observed(0, 206), observed(2, 226), observed(4, 900)],
    watched: [observed(1, 10), observed(1, 20), observed(5, 30)],
    movedBack: [],
    killsMs: [],
  };
}

function rulesBroken(change: (history: History) => void): string[] {
  const history = fine();
  change(history);
  return [...new Set(checkHistory(history, OPTIONS).map(({ rule }) => rule))];
}

const at = <T extends object>(list: T[], i: number, fields: Partial<T>): void => {
  list[i] = { ...list[i]!, ...fields };
};

test("a history without fault, and an empty one, are not found fault with", () => {
  expect(checkHistory(fine(), OPTIONS)).toEqual([]);
  expect(checkHistory(emptyHistory(), OPTIONS)).toEqual([]);
});

test("nothing is asked of what was not acknowledged", () => {
  const notAcked = (outcome: "refused" | "unknown") => (history: History) => {
    at(history.sent, 2, { outcome, queueOffset: -1 });
    history.seen.splice(7, 1);
  };
  expect(rulesBroken(notAcked("refused"))).toEqual([]);
  expect(rulesBroken(notAcked("unknown"))).toEqual([]);
});

test.each<[string, (history: History) => void]>([
  ["is nowhere", (history) => history.seen.splice(7, 1)],
  ["is somewhere else", (history) => at(history.seen, 7, { queueOffset: 17 })],
])("lost: an acknowledged message %s", (_, change) => {
  expect(rulesBroken(change)).toContain("lost");
});

test.each<[string, (history: History) => void]>([
  ["acknowledged twice for one place", (history) => at(history.sent, 3, { queueOffset: 2 })],
  ["seen as another before", (history) => at(history.seen, 1, content(2))],
  ["of a changed body", (history) => at(history.seen, 1, { hash: content(2).hash })],
  ["never sent", (history) => history.seen.push({ ...seen(5), key: "x", hash: "y" })],
])("two contents: %s", (_, change) => {
  expect(rulesBroken(change)).toContain("two contents");
});

test.each<[string, (history: History) => void]>([
  [
    "by one connection, with both under way",
    (history) => {
      at(history.sent, 1, { queueOffset: 2, completedMs: 40 });
      at(history.sent, 2, { queueOffset: 1 });
    },
  ],
  [
    "by two, one after the other",
    (history) => {
      at(history.sent, 1, { queueOffset: 2 });
      at(history.sent, 2, { queueOffset: 1, sender: "b" });
    },
  ],
])("reordered: %s", (_, change) => {
  expect(rulesBroken(change)).toContain("reordered");
});

test("two connections at the same time may come in either order", () => {
  const history = fine();
  at(history.sent, 1, { queueOffset: 2, completedMs: 40 });
  at(history.sent, 2, { queueOffset: 1, sender: "b" });
  expect(checkHistory({ ...history, seen: [] })).toEqual([]);
});

test.each<[string, (history: History) => void]>([
  ["older than what was acknowledged", (history) => history.observed.push(observed(3, 901))],
  ["never committed", (history) => history.observed.push(observed(7, 901))],
  ["gone altogether", (history) => history.observed.push(observed(-1, 901))],
  [
    "a kill long after the commit",
    (history) => {
      history.killsMs.push(900);
      history.observed.push(observed(3, 901));
    },
  ],
])("offset went back: %s", (_, change) => {
  expect(rulesBroken(change)).toEqual(["offset went back"]);
});

test("an offset may go back where it was put back, or was not yet kept when the server was killed", () => {
  expect(
    rulesBroken((history) => {
      history.committed.push(committed(1, { invokedMs: 950, completedMs: 955 }));
      history.observed.push(observed(1, 960));
    }),
  ).toEqual([]);
  expect(
    rulesBroken((history) => {
      history.killsMs.push(300);
      history.observed.push(observed(1, 901));
    }),
  ).toEqual([]);
});

test("offset went back: a group stands behind where it stood, without a kill or long before one", () => {
  expect(rulesBroken((history) => history.watched.push(observed(4, 40)))).toEqual(["offset went back"]);
  const killed = (atMs: number) => (history: History) => {
    history.killsMs.push(atMs);
    history.watched.push(observed(1, atMs + 5));
  };
  // Kept by then, so a kill has no part in it.
  expect(rulesBroken(killed(50))).toEqual([]);
  expect(rulesBroken(killed(500))).toEqual(["offset went back"]);
});

test("a step back that a client asked for is excused, once, and as far as it asked", () => {
  const moved = (offset: number, before: number) => ({ group: "G", queue: QUEUE, offset, before });
  const back = (to: number, ...movedBack: ReturnType<typeof moved>[]) =>
    rulesBroken((history) => {
      history.watched.push(observed(to, 40));
      history.movedBack.push(...movedBack);
    });
  expect(back(3, moved(3, 5))).toEqual([]);
  expect(back(4, moved(3, 5))).toEqual([]);
  // It stood at 2, by nobody's wish; or somebody wished it from elsewhere, or of another queue.
  expect(back(2, moved(3, 5))).toEqual(["offset went back"]);
  expect(back(3, moved(1, 3))).toEqual(["offset went back"]);
  expect(back(3, { ...moved(3, 5), queue: "T/1" })).toEqual(["offset went back"]);
  const twice = (history: History) => {
    history.watched.push(observed(3, 40), observed(5, 50), observed(3, 60));
    history.movedBack.push(moved(3, 5));
  };
  expect(rulesBroken(twice)).toEqual(["offset went back"]);
  const thrice = (history: History) => {
    twice(history);
    history.movedBack.push(moved(3, 5));
  };
  expect(rulesBroken(thrice)).toEqual([]);
});

test("undelivered: acknowledged messages that no reader of a group was given", () => {
  const history = fine();
  expect(undelivered(history, "T", new Set(["c"]))).toEqual([]);
  expect(undelivered(history, "T", new Set(["d"]))).toHaveLength(I.length);
  at(history.sent, 1, { outcome: "unknown" });
  history.seen.splice(0, 3);
  expect(undelivered(history, "T", new Set(["c"]))).toEqual(["k0", "k2"]);
});

test.each<[string, (history: History) => void]>([
  ["another consumer", (history) => at(history.handled, 2, { consumer: "d", startedMs: 112 })],
  ["the same one", (history) => at(history.handled, 2, { startedMs: 112 })],
  ["within a long one", (history) => at(history.handled, 1, { endedMs: 135 })],
])("overlap: %s", (_, change) => {
  expect(rulesBroken(change)).toEqual(["overlap"]);
});

test("skipped: an ordered group did not come by a message", () => {
  expect(rulesBroken((history) => history.handled.splice(1, 1))).toEqual(["skipped"]);
});
