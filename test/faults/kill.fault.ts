/** kill -9 under load, again and again; and an orderly server must not be killable by what it finds then. */
import { expect, test } from "vitest";
import { emptyHistory } from "./history.js";
import { Committer, Load } from "./load.js";
import { pause, roundsOf, say, scratchDirectory, seedOf, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { readAll, verifyAll } from "./verify.js";

const READ_EVERY = 5;

test.each(["ASYNC_FLUSH", "SYNC_FLUSH"])("kill -9 under load, %s", async (flushDiskType) => {
  const { seed, random } = seedOf(`kill -9, ${flushDiskType}`);
  const rounds = times(3, 50);
  const directory = scratchDirectory("kill");
  const config = { flushDiskType };
  const history = emptyHistory();
  let server = await Server.start({ directory, config });
  const load = new Load(server.port, { random, history });
  const committer = new Committer(server.port, history, "G", "T0");
  let slowestStartMs = 0;
  let kills = 0;
  for (const round of roundsOf(`kill -9, ${flushDiskType}`, rounds, times(60, 110))) {
    kills++;
    const before = load.ackedCount;
    await until(() => load.ackedCount > before, "an acknowledgement");
    await pause(random.integer(0, 1500));
    history.killsMs.push(performance.now());
    await server.kill();
    server = await Server.start({ directory, config });
    load.moveTo(server.port);
    committer.moveTo(server.port);
    slowestStartMs = Math.max(slowestStartMs, server.startedInMs);
    // A reader between the kills: what it is given must still be there after the next.
    if (round % READ_EVERY === 0) await readAll(server.port, history, `round ${round}`);
  }
  await load.stop();
  await committer.stop();
  const figures = await verifyAll(server, history, { apache: true });
  expect(figures.kills).toBe(kills);
  say("C1", `kill -9 under load, ${flushDiskType}`, { ...figures, slowestStartMs: Math.round(slowestStartMs), seed });
});
