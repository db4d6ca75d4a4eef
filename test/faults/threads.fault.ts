/** A thread of the server dies or ends: the whole process ends, with a reason, or nobody notices; never anything between. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emptyHistory } from "./history.js";
import { Load } from "./load.js";
import { pause, say, scratchDirectory, seedOf, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { verifyAll } from "./verify.js";

/** Of the server, from the thread's death to its own. */
const END_MS_MAX = 12_000;

test.each(["crash", "exit"].slice(0, times(1, 2)))("the dispatch thread: %s", async (action) => {
  const { seed, random } = seedOf(`dispatch thread, ${action}`);
  const directory = scratchDirectory("thread");
  const history = emptyHistory();
  const env = { COMETMQ_FAILPOINT: `dispatch-step:${random.integer(200, 600)}=${action}` };
  const server = await Server.start({ directory, env });
  const load = new Load(server.port, { random, history });
  const endedMs = await until(() => !server.running, "the end of the server", 60_000);
  expect(await server.ended).toBe("1");
  expect(server.stderr).toContain("The dispatch thread died.");
  expect(performance.now() - load.lastAckMs).toBeLessThan(END_MS_MAX);
  await load.stop();
  for (const refusal of load.refusals.keys()) expect(refusal).not.toContain("\n");
  const next = await Server.start({ directory });
  const again = new Load(next.port, { random, history });
  await until(() => again.ackedCount > 100, "acknowledgements after the restart");
  await again.stop();
  say("C11", `dispatch thread: ${action}`, { ...(await verifyAll(next, history)), endedMs: Math.round(endedMs), seed });
});

test("the dispatch thread spins", async () => {
  const { seed, random } = seedOf("dispatch thread, spin");
  const directory = scratchDirectory("spin");
  const history = emptyHistory();
  const env = { COMETMQ_FAILPOINT: `dispatch-step:${random.integer(200, 600)}=spin` };
  const server = await Server.start({ directory, env });
  const load = new Load(server.port, { random, history, paceMs: 100 });
  const endedMs = await until(() => !server.running, "the end of the server", 150_000);
  expect(await server.ended).toBe("1");
  expect(server.stderr).toMatch(/does not end its turn/);
  expect(server.stderr).toContain("The dispatch thread died.");
  await load.stop();
  const next = await Server.start({ directory });
  const again = new Load(next.port, { random, history });
  await until(() => again.ackedCount > 100, "acknowledgements after the restart");
  await again.stop();
  say("C11", "dispatch thread: spin", { ...(await verifyAll(next, history)), endedMs: Math.round(endedMs), seed });
});

test.each(["crash", "exit", "spin"].slice(0, times(0, 3)))("the thread that helps recovery: %s", async (action) => {
  const { seed, random } = seedOf(`check thread, ${action}`);
  const directory = scratchDirectory("check");
  const history = emptyHistory();
  const config = { mappedFileSizeCommitLog: 64 * 1024 * 1024 };
  const server = await Server.start({ directory, config });
  const load = new Load(server.port, { random, history, bodyBytesMax: 120_000, paceMs: 2 });
  // So much that recovery has help.
  await until(() => history.sent.length > 1500, "enough to recover", 60_000);
  await pause(random.integer(0, 200));
  await server.kill();
  await load.stop();
  // All of the log has to be walked.
  for (const name of ["dispatch.checkpoint", "checkpoint", "consumequeue"])
    rmSync(join(directory, "store", name), { recursive: true });
  const env = { COMETMQ_FAILPOINT: `recovery-check:${random.integer(1, 4)}=${action}` };
  const next = await Server.start({ directory, config, env });
  say("C11", `recovery's check thread: ${action}`, { ...(await verifyAll(next, history)), seed });
});
