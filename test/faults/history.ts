/**
 * What clients did and were told, operation by operation, and what must be true of it whatever happened to the server in
 * between. The checks are pure functions; test/unit/faults shows each of them a history that it must find wrong.
 *
 * Times are of one monotonic clock, in ms. An operation took effect at a moment between `invokedMs` and `completedMs`, or
 * never, or later, where its outcome is "unknown".
 */
import { createHash } from "node:crypto";

/** A queue as `topic/queueId`. */
export type QueueName = string;

/** What is in a message: a key that nobody else uses, and a hash of the body. */
export interface Content {
  readonly key: string;
  readonly hash: string;
}

export interface Sent extends Content {
  /** The connection: what it sends is appended in the order of sending. */
  readonly sender: string;
  readonly queue: QueueName;
  readonly invokedMs: number;
  completedMs: number;
  outcome: "acked" | "refused" | "unknown";
  /** Of an acknowledged one. */
  queueOffset: number;
}

/** Somebody was given a message: a consumer, or the reader who looks at all of it in the end. */
export interface Seen extends Content {
  readonly reader: string;
  readonly queue: QueueName;
  readonly queueOffset: number;
  readonly atMs: number;
}

/** A handler of an ordered group had a message. */
export interface Handled {
  readonly group: string;
  readonly consumer: string;
  readonly queue: QueueName;
  readonly queueOffset: number;
  readonly startedMs: number;
  endedMs: number;
}

export interface Committed {
  readonly group: string;
  readonly queue: QueueName;
  readonly offset: number;
  readonly invokedMs: number;
  completedMs: number;
  outcome: "acked" | "unknown";
}

/** The answer to the question where a group stands; -1: nowhere. */
export interface Observed {
  readonly group: string;
  readonly queue: QueueName;
  readonly offset: number;
  readonly invokedMs: number;
  readonly completedMs: number;
}

/**
 * The server's word that a client committed a smaller offset than the group had. It takes that word as Apache does: in a
 * clustered group the former owner of a queue may commit after the new one.
 */
export interface MovedBack {
  readonly group: string;
  readonly queue: QueueName;
  readonly offset: number;
  /** What was committed until then. */
  readonly before: number;
}

export interface History {
  readonly sent: Sent[];
  readonly seen: Seen[];
  readonly handled: Handled[];
  readonly committed: Committed[];
  readonly observed: Observed[];
  /** The same of groups whose commits their own clients make. In the order of asking. */
  readonly watched: Observed[];
  /** Of those among them whose clients share queues without a lock. */
  readonly movedBack: MovedBack[];
  /** When the server was killed: offsets committed shortly before may be gone, by the promise it makes. */
  readonly killsMs: number[];
}

export interface CheckOptions {
  /** The reader in `seen` that was given all there is, after all is over; none: loss is not looked for. */
  readonly finalReader?: string;
  /** A commit this much older than a kill is kept through it. */
  readonly commitsKeptAfterMs?: number;
}

export interface Violation {
  readonly rule: "lost" | "two contents" | "reordered" | "offset went back" | "overlap" | "skipped";
  readonly what: string;
}

export function emptyHistory(): History {
  return { sent: [], seen: [], handled: [], committed: [], observed: [], watched: [], movedBack: [], killsMs: [] };
}

export function hashOf(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

/** Every rule over all of it. */
export function checkHistory(history: History, options: CheckOptions = {}): Violation[] {
  return [
    ...checkLost(history, options.finalReader),
    ...checkContents(history),
    ...checkSendOrder(history),
    ...checkCommits(history, options.commitsKeptAfterMs ?? 0),
    ...checkWatched(history, options.commitsKeptAfterMs ?? 0),
    ...checkOverlaps(history),
    ...checkHandlingOrder(history),
  ];
}

/** No acknowledged message is lost: the final reader had it, at its place. */
export function checkLost({ sent, seen }: History, finalReader: string | undefined): Violation[] {
  if (finalReader === undefined) return [];
  const found = new Map<string, Seen>();
  for (const one of seen) if (one.reader === finalReader) found.set(`${one.queue}@${one.queueOffset}`, one);
  const violations: Violation[] = [];
  for (const { queue, queueOffset, key, hash, outcome } of sent) {
    if (outcome !== "acked") continue;
    const there = found.get(`${queue}@${queueOffset}`);
    if (there !== undefined && there.key === key && there.hash === hash) continue;
    const instead = there === undefined ? "nothing" : there.key === key ? "another body" : there.key;
    violations.push({ rule: "lost", what: `${key} at ${queue}@${queueOffset}: ${instead} is there` });
  }
  return violations;
}

/** No offset has two contents, and no content that was never sent. */
export function checkContents({ sent, seen }: History): Violation[] {
  const contents = new Map<string, Content>();
  const sentHashes = new Map(sent.map(({ key, hash }) => [key, hash]));
  const violations: Violation[] = [];
  const add = (place: string, { key, hash }: Content, who: string): void => {
    const before = contents.get(place);
    if (before === undefined) contents.set(place, { key, hash });
    else if (before.key !== key || before.hash !== hash)
      violations.push({ rule: "two contents", what: `${place}: ${before.key}, and ${key} for ${who}` });
  };
  for (const one of sent) if (one.outcome === "acked") add(`${one.queue}@${one.queueOffset}`, one, one.sender);
  for (const one of seen) {
    add(`${one.queue}@${one.queueOffset}`, one, one.reader);
    const hash = sentHashes.get(one.key);
    if (hash !== one.hash)
      violations.push({ rule: "two contents", what: `${one.queue}@${one.queueOffset}: nobody sent this ${one.key}` });
  }
  return violations;
}

function byQueue<T extends { readonly queue: QueueName }>(all: readonly T[], of: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const name = of(one);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [one]);
    else group.push(one);
  }
  return groups;
}

/**
 * No reorder within a queue: what one connection sent lies in the order of sending, and what was sent after another
 * message was acknowledged lies behind that one.
 */
export function checkSendOrder({ sent }: History): Violation[] {
  const violations: Violation[] = [];
  const acked = sent.filter(({ outcome }) => outcome === "acked");
  const wrong = (first: Sent, then: Sent): void => {
    const places = `${first.key} at ${first.queueOffset}, then ${then.key} at ${then.queueOffset}`;
    violations.push({ rule: "reordered", what: `${first.queue}: ${places}` });
  };
  // `sent` has a connection's messages in the order of sending.
  for (const [, mine] of byQueue(acked, ({ queue, sender }) => `${queue} ${sender}`)) {
    for (let i = 1; i < mine.length; i++)
      if (mine[i]!.queueOffset <= mine[i - 1]!.queueOffset) wrong(mine[i - 1]!, mine[i]!);
  }
  for (const [, all] of byQueue(acked, ({ queue }) => queue)) {
    const byEnd = [...all].sort((a, b) => a.completedMs - b.completedMs);
    const byStart = [...all].sort((a, b) => a.invokedMs - b.invokedMs);
    let last: Sent | undefined;
    let next = 0;
    for (const one of byStart) {
      for (; next < byEnd.length && byEnd[next]!.completedMs < one.invokedMs; next++)
        if (last === undefined || byEnd[next]!.queueOffset > last.queueOffset) last = byEnd[next]!;
      if (last !== undefined && last.queueOffset >= one.queueOffset) wrong(last, one);
    }
  }
  return violations;
}

/**
 * No committed offset goes back by itself: what is observed is the latest commit, one that was under way, or, across a
 * kill, one that the promise allows to be the latest.
 */
export function checkCommits({ committed, observed, killsMs }: History, keptAfterMs: number): Violation[] {
  const violations: Violation[] = [];
  const commits = byQueue(committed, ({ group, queue }) => `${group} ${queue}`);
  for (const one of observed) {
    const { group, queue, offset } = one;
    const mine = commits.get(`${group} ${queue}`) ?? [];
    const sources = mine.filter((commit) => commit.offset === offset && commit.invokedMs <= one.completedMs);
    const startMs = sources.length === 0 && offset === -1 ? Number.NEGATIVE_INFINITY : undefined;
    if (sources.length === 0 && startMs === undefined) {
      violations.push({ rule: "offset went back", what: `${group} ${queue}: ${offset}, which nobody committed` });
      continue;
    }
    const overwrites = (sinceMs: number): Committed | undefined =>
      mine.find(
        (commit) =>
          commit.outcome === "acked" &&
          commit.offset !== offset &&
          commit.invokedMs >= sinceMs &&
          commit.completedMs <= one.invokedMs &&
          !killsMs.some(
            (kill) => kill >= commit.invokedMs && kill < commit.completedMs + keptAfterMs && kill <= one.completedMs,
          ),
      );
    const since =
      startMs === undefined
        ? sources.map(({ outcome, completedMs }) => (outcome === "acked" ? completedMs : one.invokedMs))
        : [startMs];
    const overwritten = since.map(overwrites);
    if (overwritten.every((commit) => commit !== undefined)) {
      const later = overwritten.at(-1)!.offset;
      violations.push({
        rule: "offset went back",
        what: `${group} ${queue}: ${offset}, after ${later} was acknowledged`,
      });
    }
  }
  return violations;
}

/**
 * Where a group stands goes ahead only, but for what a kill may take, commits of the time just before it, and for what a
 * client has moved back: each such move explains one step back, to where it went or further on.
 */
export function checkWatched({ watched, movedBack, killsMs }: History, keptAfterMs: number): Violation[] {
  const violations: Violation[] = [];
  const moves = byQueue(movedBack, ({ group, queue }) => `${group} ${queue}`);
  for (const [name, all] of byQueue(watched, ({ group, queue }) => `${group} ${queue}`)) {
    let since = 0;
    for (let i = 1; i < all.length; i++) {
      const one = all[i]!;
      const before = all.slice(since, i).filter(({ completedMs }) => {
        const isExcused = killsMs.some(
          (kill) => kill >= completedMs && kill < completedMs + keptAfterMs && kill <= one.completedMs,
        );
        return !isExcused && completedMs <= one.invokedMs;
      });
      const reached = Math.max(-1, ...before.map(({ offset }) => offset));
      if (one.offset >= reached) continue;
      const mine = moves.get(name) ?? [];
      const move = mine.findIndex(({ offset, before: from }) => offset <= one.offset && one.offset < from);
      if (move >= 0) {
        mine.splice(move, 1);
        since = i;
      } else violations.push({ rule: "offset went back", what: `${name}: ${one.offset} after ${reached}` });
    }
  }
  return violations;
}

/** Every acknowledged message of the topic was given to one of these readers: those that were not. */
export function undelivered({ sent, seen }: History, topic: string, readers: ReadonlySet<string>): string[] {
  const given = new Set(seen.filter(({ reader }) => readers.has(reader)).map(({ key }) => key));
  const acked = sent.filter(({ outcome, queue }) => outcome === "acked" && queue.startsWith(`${topic}/`));
  return acked.filter(({ key }) => !given.has(key)).map(({ key }) => key);
}

/** No two consumers of an ordered group are at the same queue at the same time. */
export function checkOverlaps({ handled }: History): Violation[] {
  const violations: Violation[] = [];
  for (const [name, all] of byQueue(handled, ({ group, queue }) => `${group} ${queue}`)) {
    const inOrder = [...all].sort((a, b) => a.startedMs - b.startedMs);
    let open: Handled | undefined;
    for (const one of inOrder) {
      if (open !== undefined && open.endedMs > one.startedMs) {
        const what = `${name}: ${open.consumer} at ${open.queueOffset}, and ${one.consumer} at ${one.queueOffset}`;
        violations.push({ rule: "overlap", what });
      }
      if (open === undefined || one.endedMs > open.endedMs) open = one;
    }
  }
  return violations;
}

/** An ordered group comes to a message only after the one before it; it may come to it again. */
export function checkHandlingOrder({ handled }: History): Violation[] {
  const violations: Violation[] = [];
  for (const [name, all] of byQueue(handled, ({ group, queue }) => `${group} ${queue}`)) {
    let reached = -1;
    for (const one of [...all].sort((a, b) => a.startedMs - b.startedMs)) {
      if (one.queueOffset > reached + 1)
        violations.push({ rule: "skipped", what: `${name}: ${one.queueOffset} after ${reached}` });
      reached = Math.max(reached, one.queueOffset);
    }
  }
  return violations;
}
