/**
 * Everybody at once, for minutes: senders, ordered and clustered consumers that come and go, committers, and a server that
 * is killed, stopped, restarted, slowed down and put out of time. All that they did and were told is checked afterwards.
 */
import { expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import type { PushConsumer } from "#src/client/push-consumer.js";
import type { Random } from "../crash/programs/random.mjs";
import { clusterConsumer, orderlyConsumer, Watcher } from "./consumers.js";
import { checkHistory, emptyHistory, type History, undelivered } from "./history.js";
import { Committer, Load } from "./load.js";
import { pause, say, scratchDirectory, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { Shim } from "./shim.js";
import { readAll, verifyAll } from "./verify.js";

const RUN_MS = Number(process.env.COMETMQ_HISTORY_SECONDS ?? times(20, 150)) * 1000;
const CAUGHT_UP_MS = 90_000;

const FAULTS = ["kill", "restart", "stop", "slow disk", "clock", "consumer leaves", "sharer leaves"] as const;
type Fault = (typeof FAULTS)[number];

class Scene {
  readonly history: History = emptyHistory();
  readonly counts: Partial<Record<Fault, number>> = {};
  server!: Server;
  readonly #directory = scratchDirectory("history");
  readonly #random: Random;
  readonly shim: Shim | string;
  readonly #config: { flushDiskType: string };
  /** By name. */
  readonly ordered = new Map<string, PushConsumer>();
  /** The same, and everybody who ever was one of them. */
  readonly clustered = new Map<string, PushConsumer>();
  readonly clusteredNames = new Set<string>();
  #consumersMade = 0;

  constructor(random: Random) {
    this.#random = random;
    this.shim = Shim.build(this.#directory);
    this.#config = { flushDiskType: random.chance(0.5) ? "SYNC_FLUSH" : "ASYNC_FLUSH" };
    if (typeof this.shim === "string") skipAloud("slow disks and clock jumps in a history", this.shim);
  }

  get namesrvAddr(): string {
    return `127.0.0.1:${this.server.namesrvPort}`;
  }

  /** Where it was before, so that clients find it again. */
  async start(): Promise<void> {
    const env = typeof this.shim === "string" ? {} : this.shim.env;
    const before: Server | undefined = this.server;
    this.noteMoves();
    const ports = before === undefined ? undefined : { namesrv: before.namesrvPort, broker: before.port };
    this.server = await Server.start({
      directory: this.#directory,
      config: this.#config,
      env,
      ...(ports && { ports }),
    });
  }

  /** What the server that is about to be forgotten has said of commits that went back. */
  noteMoves(): void {
    const moves = this.server?.movedBack ?? [];
    // Who has a queue of an ordered group has its lock, so commits of two never cross.
    this.history.movedBack.push(...moves.filter(({ group }) => group === "CLUSTER"));
  }

  async addOrdered(): Promise<void> {
    const name = `ordered ${++this.#consumersMade}`;
    this.ordered.set(name, await orderlyConsumer(this.namesrvAddr, name, this.history));
  }

  async addClustered(): Promise<void> {
    const name = `clustered ${++this.#consumersMade}`;
    this.clusteredNames.add(name);
    this.clustered.set(name, await clusterConsumer(this.namesrvAddr, name, this.history));
  }

  async strike(fault: Fault): Promise<void> {
    this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    switch (fault) {
      case "kill":
        this.history.killsMs.push(performance.now());
        await this.server.kill();
        return this.start();
      case "restart":
        expect(await this.server.stop(), this.server.stderr).toBe("0");
        return this.start();
      case "stop":
        this.server.signal("SIGSTOP");
        await pause(this.#random.integer(100, 3000));
        this.server.signal("SIGCONT");
        return;
      case "slow disk":
        if (typeof this.shim === "string") return;
        this.shim.slow(["SYNC", "WRITE"], this.#random.integer(10, 200), "/store/");
        await pause(this.#random.integer(500, 3000));
        this.shim.heal();
        return;
      case "clock":
        if (typeof this.shim !== "string") this.shim.moveClock(this.#random.integer(-3_600_000, 3_600_000));
        return;
      case "consumer leaves": {
        const [name, consumer] = [...this.ordered][0]!;
        this.ordered.delete(name);
        await consumer.close();
        return this.addOrdered();
      }
      case "sharer leaves": {
        const [name, consumer] = [...this.clustered][0]!;
        this.clustered.delete(name);
        await consumer.close();
        return this.addClustered();
      }
    }
  }
}

test("a history under faults", async () => {
  const { seed, random } = seedOf("history");
  const scene = new Scene(random);
  const { history } = scene;
  await scene.start();
  const admin = await Admin.start({ namesrvAddr: scene.namesrvAddr });
  for (const topic of ["T0", "T1"]) await admin.createTopic(topic, { readQueueNums: 4, writeQueueNums: 4 });
  await admin.close();
  for (let i = 0; i < 2; i++) {
    await scene.addOrdered();
    await scene.addClustered();
  }
  const load = new Load(scene.server.port, { random, history, paceMs: 30, connectionCount: 2, batches: 0 });
  const committer = new Committer(scene.server.port, history, "G", "T0");
  const port = () => scene.server.port;
  const watchers = [0, 1].flatMap((queueId) => [
    new Watcher(port, history, "ORDERLY", "T0", queueId),
    new Watcher(port, history, "CLUSTER", "T1", queueId),
  ]);
  const endMs = performance.now() + RUN_MS;
  while (performance.now() < endMs) {
    await pause(random.integer(500, 4000));
    await scene.strike(FAULTS[random.integer(0, FAULTS.length)]!);
    const before = load.ackedCount;
    await until(() => load.ackedCount > before, "acknowledgements after a fault", 60_000);
  }
  await load.stop();
  await committer.stop();
  await until(
    () => undelivered(history, "T1", scene.clusteredNames).length === 0,
    "all to the clustered group",
    CAUGHT_UP_MS,
  );
  const orderedNames = new Set(history.handled.map(({ consumer }) => consumer));
  await until(() => undelivered(history, "T0", orderedNames).length === 0, "all to the ordered group", CAUGHT_UP_MS);
  for (const consumer of [...scene.ordered.values(), ...scene.clustered.values()]) await consumer.close();
  for (const watcher of watchers) await watcher.stop();
  scene.noteMoves();
  await readAll(scene.server.port, history);
  const violations = checkHistory(history, { finalReader: "all", commitsKeptAfterMs: 3000 });
  expect(violations.slice(0, 5), `seed ${seed}: ${JSON.stringify(scene.counts)}`).toEqual([]);
  const { sent, seen, handled, committed, observed, watched } = history;
  const operations = sent.length + seen.length + handled.length + committed.length + observed.length + watched.length;
  const figures = await verifyAll(scene.server, history, { commitsKeptAfterMs: 3000 });
  const ran = { seconds: RUN_MS / 1000, operations, faults: scene.counts, movedBack: history.movedBack.length };
  say("D3", "history under faults", { ...ran, ...figures, handled: handled.length, seed });
});
