/**
 * `npm run test:soak -- --minutes N`: everything a client does, for as long as is asked. In the first half the server is
 * killed and restarted now and then; the second half belongs to one process, whose memory, handles and maps must be flat.
 * Nothing that was acknowledged may miss its consumers.
 */
import { expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { Producer } from "#src/client/producer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { clusterConsumer, orderlyConsumer } from "./consumers.js";
import { emptyHistory, type History } from "./history.js";
import { Committer, Load } from "./load.js";
import { onEnd, pause, say, scratchDirectory, seedOf, until } from "./scratch.js";
import { Server } from "./server.js";
import { doctorFindings } from "./verify.js";

const MINUTES = Number(process.env.COMETMQ_SOAK_MINUTES ?? 0);
const RESTARTS = 4;
const SAMPLE_MS = 1000;
const COMPACT_MS = 5000;
const MEBIBYTE = 1024 * 1024;
/** Growth along the fitted line over the later half; a garbage collector is not a clock. */
const GROWTH_MAX = { memoryMiB: 24, handles: 16, maps: 8, threads: 2 };
/** Files as users have them: what grows is not to be hidden by their number. */
const CONFIG = {
  mappedFileSizeCommitLog: 64 * MEBIBYTE,
  mappedFileSizeConsumeQueue: 6_000_000,
  maxHashSlotNum: 500_000,
  maxIndexNum: 2_000_000,
  flushConsumerOffsetInterval: 5000,
};

/** Without the handle and the map that belong to each segment of the log: it grows, and is to. */
interface Sample {
  readonly atMs: number;
  readonly memoryMiB: number;
  readonly handles: number;
  readonly maps: number;
  readonly threads: number;
}

/** Least squares: change per ms. */
export function slopeOf(points: readonly (readonly [number, number])[]): number {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

class Deliveries {
  readonly #history: History;
  /** By topic: acknowledged and not yet seen by a consumer. */
  readonly #awaited = new Map<string, Set<string>>();
  readonly #early = new Set<string>();
  delivered = 0;

  constructor(history: History) {
    this.#history = history;
  }

  /** Takes what has its end out of the history, which would otherwise be all that grows. */
  compact(): void {
    const { sent, seen, handled, committed, observed } = this.#history;
    for (const one of seen.splice(0)) this.#early.add(one.key);
    handled.length = 0;
    committed.length = 0;
    observed.length = 0;
    const open = sent.splice(0).filter((one) => {
      if (one.outcome === "unknown" && one.completedMs === Number.POSITIVE_INFINITY) return true;
      const topic = one.queue.split("/")[0]!;
      if (one.outcome === "acked" && topic !== "T2") this.#await(topic, one.key);
      return false;
    });
    // Cut off and never answered: nobody waits for them for ever.
    sent.push(...open.slice(-1000));
    for (const keys of this.#awaited.values()) {
      for (const key of keys) if (this.#early.delete(key) && keys.delete(key)) this.delivered++;
    }
  }

  #await(topic: string, key: string): void {
    const keys = this.#awaited.get(topic);
    if (keys === undefined) this.#awaited.set(topic, new Set([key]));
    else keys.add(key);
  }

  get awaitedCount(): number {
    return [...this.#awaited.values()].reduce((sum, keys) => sum + keys.size, 0);
  }
}

/** Does it again and again until the test ends; what fails while the server is away is tried again. */
function repeat(everyMs: number, act: () => Promise<unknown>): { stop: () => Promise<void>; failures: () => number } {
  let stopped = false;
  let failures = 0;
  const running = (async () => {
    while (!stopped) {
      await act().catch(() => failures++);
      await pause(everyMs);
    }
  })();
  const stop = async () => {
    stopped = true;
    await running;
  };
  onEnd(stop);
  return { stop, failures: () => failures };
}

test.skipIf(MINUTES === 0)(`${MINUTES} minutes of everything`, { timeout: (MINUTES + 5) * 60_000 }, async () => {
  const { seed, random } = seedOf("soak");
  const directory = scratchDirectory("soak");
  const history = emptyHistory();
  let server = await Server.start({ directory, config: CONFIG });
  const namesrvAddr = `127.0.0.1:${server.namesrvPort}`;
  const admin = await Admin.start({ namesrvAddr });
  onEnd(() => admin.close());
  for (const topic of ["T0", "T1", "T2", "Half"])
    await admin.createTopic(topic, { readQueueNums: 4, writeQueueNums: 4 });
  for (const name of ["one", "two"]) {
    await orderlyConsumer(namesrvAddr, `ordered ${name}`, history);
    await clusterConsumer(namesrvAddr, `clustered ${name}`, history);
  }
  const popper = await SimpleConsumer.start({ namesrvAddr, group: "POP", subscriptions: { T2: "*" } });
  onEnd(() => popper.close());
  const producer = await Producer.start({ namesrvAddr });
  onEnd(() => producer.close());
  const transactions = await TransactionProducer.start({
    namesrvAddr,
    group: "TX",
    checkTransaction: () => "commit",
  });
  onEnd(() => transactions.close());
  const load = new Load(server.port, { random, history, topics: ["T0", "T1", "T2"], paceMs: 150, batches: 0 });
  const committer = new Committer(server.port, history, "G", "T0");
  const counts = { popped: 0, transactions: 0, delayed: 0, topics: 0 };
  const others = [
    repeat(10, async () => {
      for (const one of await popper.receive({ maxCount: 32, waitMs: 1000, invisibleMs: 20_000 })) {
        await one.ack();
        counts.popped++;
      }
    }),
    repeat(200, async () => {
      const outcome = random.chance(0.8) ? "commit" : "rollback";
      await transactions.sendInTransaction({ topic: "Half", body: "half" }, () => outcome);
      counts.transactions++;
    }),
    repeat(200, async () => {
      await producer.send({ topic: "T2", body: "later", delayLevel: random.integer(1, 4) });
      counts.delayed++;
    }),
    repeat(5000, async () => {
      const topic = `Brief${counts.topics++ % 50}`;
      await admin.createTopic(topic, { readQueueNums: 1, writeQueueNums: 1 });
      await producer.send({ topic, body: "brief" });
      await admin.deleteTopic(topic);
    }),
  ];
  const deliveries = new Deliveries(history);
  let compactedMs = performance.now();
  const beginMs = performance.now();
  const halfMs = (MINUTES * 60_000) / 2;
  const samples: Sample[] = [];
  for (let restart = 0; performance.now() - beginMs < 2 * halfMs; ) {
    await pause(SAMPLE_MS);
    const atMs = performance.now() - beginMs;
    if (performance.now() - compactedMs > COMPACT_MS) {
      deliveries.compact();
      compactedMs = performance.now();
    }
    if (restart < RESTARTS && atMs > ((restart + 1) * halfMs) / (RESTARTS + 1)) {
      if (restart++ % 2 === 0) await server.kill();
      else expect(await server.stop(60_000), server.stderr).toBe("0");
      const ports = { namesrv: server.namesrvPort, broker: server.port };
      server = await Server.start({ directory, config: CONFIG, ports });
    }
    const { privateBytes, segmentCount, threadCount } = server;
    const handles = server.handleCount - segmentCount;
    const maps = server.storeMapCount - segmentCount;
    samples.push({ atMs, memoryMiB: privateBytes / MEBIBYTE, handles, maps, threads: threadCount });
  }
  await load.stop();
  await committer.stop();
  for (const other of others) await other.stop();
  await until(
    () => {
      deliveries.compact();
      return deliveries.awaitedCount === 0 && deliveries.delivered > 0;
    },
    "all acknowledged messages to their consumers",
    60_000,
  );
  expect(await server.stop(60_000), server.stderr).toBe("0");
  expect(doctorFindings(directory)).toEqual([]);

  const later = samples.filter(({ atMs }) => atMs > halfMs + 0.1 * halfMs);
  const course = [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1].map((part) => samples[Math.ceil(part * samples.length) - 1]!);
  const hour = 3_600_000;
  const spanMs = later.at(-1)!.atMs - later[0]!.atMs;
  const slopes = (["memoryMiB", "handles", "maps", "threads"] as const).map((name) => {
    const perMs = slopeOf(later.map((sample) => [sample.atMs, sample[name]]));
    const round = (value: number) => Math.round(value * 100) / 100;
    const figures = { last: round(later.at(-1)![name]), perHour: round(perMs * hour), grown: round(perMs * spanMs) };
    return [name, figures] as const;
  });
  say("S5", "soak", {
    minutes: MINUTES,
    restarts: RESTARTS,
    acked: load.ackedCount,
    delivered: deliveries.delivered,
    ...counts,
    segments: server.segmentCount,
    ...Object.fromEntries(slopes),
    memoryCourseMiB: course.map(({ memoryMiB }) => Math.round(memoryMiB)),
    seed,
  });
  for (const [name, { grown }] of slopes) expect(grown, name).toBeLessThan(GROWTH_MAX[name]);
});
