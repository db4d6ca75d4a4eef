/** The process runs out of file handles, or stands still for seconds, as a stopped or swapped machine does. */
import { spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { checkHistory, emptyHistory } from "./history.js";
import { orderlyConsumer } from "./consumers.js";
import { Load } from "./load.js";
import { Probe } from "./probe.js";
import { onEnd, pause, roundsOf, say, scratchDirectory, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { readAll, verifyAll } from "./verify.js";

const HANDLES_SPARE = 30;

test("out of file handles", async () => {
  const { seed, random } = seedOf("file handles");
  const directory = scratchDirectory("handles");
  const history = emptyHistory();
  const server = await Server.start({ directory });
  const load = new Load(server.port, { random, history, topics: ["T0"] });
  await until(() => load.ackedCount > 100, "acknowledgements");
  // Its threads run, and have their modules, once there is something to read.
  await readAll(server.port, history, "before");
  const limit = server.handleCount + HANDLES_SPARE;
  // Not before it runs: to start takes more for a moment.
  const limited = spawnSync("prlimit", ["--pid", String(server.pid), `--nofile=${limit}`]);
  if (limited.status !== 0) return skipAloud("out of file handles", "prlimit (util-linux) does not run");
  const sockets: Socket[] = [];
  for (let i = 0; i < 3 * HANDLES_SPARE; i++) {
    const socket = connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    sockets.push(socket);
  }
  onEnd(() => sockets.forEach((socket) => void socket.destroy()));
  await until(() => server.handleCount >= limit - 2, "no handle is left");
  // What needs files of its own: queues of new topics, new segments.
  const topics = Array.from({ length: 12 }, (_, i) => `New${i}`);
  const other = new Load(server.port, { random, history, topics, connectionCount: 1, bodyBytesMax: 60_000 });
  await pause(times(4000, 20_000));
  expect(server.running, server.stderr).toBe(true);
  for (const socket of sockets) socket.destroy();
  const freedMs = performance.now();
  const taken = [load.ackedCount, other.ackedCount];
  await until(() => load.ackedCount > taken[0]! + 100 && other.ackedCount > taken[1]!, "acknowledgements again").catch(
    (reason: Error) => {
      const refusals = [...load.refusals, ...other.refusals].map(([what, count]) => `${count} × ${what}`);
      throw new Error(`${reason.message}\n${refusals.join("\n")}\n${server.stderr}`);
    },
  );
  const resumedMs = performance.now() - freedMs;
  await load.stop();
  await other.stop();
  const withHandles = (reason: Error): never => {
    const { handleCount, handles, stderr } = server;
    throw new Error([`${reason.message}: ${handleCount} of ${limit}`, ...handles, stderr].join("\n"));
  };
  // Also where no failure has told it that its own files have nearly all.
  await until(() => server.handleCount < limit - 5, "handles are free again").catch(withHandles);
  for (const refusal of [...load.refusals.keys(), ...other.refusals.keys()]) expect(refusal).not.toContain("\n");
  const figures = await verifyAll(server, history).catch((reason: Error) => {
    throw new Error(`${reason.message}\n${server.stderr}`, { cause: reason });
  });
  say("S1", "out of file handles", {
    limit,
    ...figures,
    resumedMs: Math.round(resumedMs),
    refusals: other.refusedCount,
    seed,
  });
});

test("the process stands still again and again", async () => {
  const { seed, random } = seedOf("standstill");
  const directory = scratchDirectory("stall");
  const history = emptyHistory();
  const server = await Server.start({ directory });
  const namesrvAddr = `127.0.0.1:${server.namesrvPort}`;
  const admin = await Admin.start({ namesrvAddr });
  for (const topic of ["T0", "Popped"]) await admin.createTopic(topic, { readQueueNums: 4, writeQueueNums: 4 });
  const orderly = [
    await orderlyConsumer(namesrvAddr, "one", history),
    await orderlyConsumer(namesrvAddr, "two", history),
  ];
  const popper = await SimpleConsumer.start({
    namesrvAddr,
    group: "POP",
    subscriptions: { Popped: "*" },
    consumeFrom: "first",
  });
  onEnd(() => popper.close());
  const load = new Load(server.port, { random, history, topics: ["T0"], paceMs: 40, batches: 0 });
  const popLoad = new Load(server.port, {
    random,
    history,
    topics: ["Popped"],
    paceMs: 100,
    batches: 0,
    connectionCount: 1,
  });
  await until(() => history.handled.length > 100, "ordered consumption");
  const probe = new Probe(server.port);
  let stops = 0;
  const popped = new Set<string>();
  let redelivered = 0;
  let refusedAcks = 0;
  for (const stop of roundsOf("SIGSTOP", times(3, 15), 45)) {
    stops = stop;
    // Leases of 30 s, taken before the standstill, are still theirs after it.
    const leased = await popper.receive({ maxCount: 16, waitMs: 2000, invisibleMs: 30_000 });
    server.signal("SIGSTOP");
    await pause(random.integer(500, times(3000, 8000)));
    server.signal("SIGCONT");
    for (const one of leased) {
      if (popped.has(one.message.messageId)) redelivered++;
      popped.add(one.message.messageId);
      await one.ack().catch(() => refusedAcks++);
    }
    const before = history.handled.length;
    await until(() => history.handled.length > before + 50, "ordered consumption after the standstill");
  }
  await probe.stop();
  await load.stop();
  await popLoad.stop();
  const acked = history.sent.filter(({ outcome, queue }) => outcome === "acked" && queue.startsWith("T0/")).length;
  await until(
    () => new Set(history.handled.map(({ queue, queueOffset }) => `${queue}@${queueOffset}`)).size >= acked,
    "all of it",
  );
  for (const consumer of orderly) await consumer.close();
  await popper.close();
  await admin.close();
  expect(checkHistory(history).slice(0, 5)).toEqual([]);
  expect([redelivered, refusedAcks]).toEqual([0, 0]);
  const figures = await verifyAll(server, history);
  say("C11", "SIGSTOP and SIGCONT", {
    stops,
    ...figures,
    handled: history.handled.length,
    popped: popped.size,
    others: probe.figures,
    seed,
  });
});
