/** Bytes on the disk that nobody wrote: a torn end after a kill, and flipped bits anywhere. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Random } from "../crash/programs/random.mjs";
import { checkContents, checkLost, emptyHistory, type History } from "./history.js";
import { Load } from "./load.js";
import { roundsOf, say, scratchDirectory, seedOf, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { doctorFindings, readAll, verifyAll } from "./verify.js";

const SEGMENT_BYTES = 1024 * 1024;
const BATCH_MAX = 10;

/** Where the last record of the log ends: behind it there are zeros only. */
function endOfLog(directory: string): { path: string; position: number } {
  const log = join(directory, "store", "commitlog");
  for (const name of readdirSync(log).sort().reverse()) {
    const path = join(log, name);
    const bytes = Buffer.alloc(statSync(path).size);
    const fd = openSync(path, "r");
    readSync(fd, bytes, 0, bytes.length, 0);
    closeSync(fd);
    let position = bytes.length;
    while (position > 0 && bytes[position - 1] === 0) position--;
    if (position > 0) return { path, position };
  }
  throw new Error("the log is empty");
}

function overwrite(path: string, position: number, bytes: Buffer): void {
  const fd = openSync(path, "r+");
  const room = fstatSync(fd).size - position;
  writeSync(fd, bytes, 0, Math.min(bytes.length, room), position);
  closeSync(fd);
}

function flipBit(path: string, random: Random, usedBytes: number): void {
  const fd = openSync(path, "r+");
  const position = random.integer(0, Math.min(usedBytes, fstatSync(fd).size));
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, position);
  byte[0] = byte[0]! ^ (1 << random.integer(0, 8));
  writeSync(fd, byte, 0, 1, position);
  closeSync(fd);
}

async function loaded(directory: string, random: Random, history: History, enough: number): Promise<Server> {
  const server = await Server.start({ directory });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > enough, "acknowledgements", 60_000);
  await load.stop();
  return server;
}

/** What a crash may leave behind the last whole record. */
const TAILS: readonly [string, (random: Random, path: string, position: number) => Buffer][] = [
  ["0xFF", () => Buffer.alloc(300, 0xff)],
  ["noise", (random) => Buffer.from(Array.from({ length: 5000 }, () => random.integer(0, 256)))],
  [
    "the first half of a record",
    (_random, path, position) => {
      const bytes = Buffer.alloc(Math.min(100, position));
      const fd = openSync(path, "r");
      readSync(fd, bytes, 0, bytes.length, 0);
      closeSync(fd);
      return bytes;
    },
  ],
];

test("a torn end of the log after a kill", async () => {
  const { seed, random } = seedOf("torn end");
  const directory = scratchDirectory("torn");
  const history = emptyHistory();
  let server = await loaded(directory, random, history, 500);
  let rounds = 0;
  for (const round of roundsOf("torn ends", times(2, 15), 30)) {
    rounds = round;
    await server.kill();
    const { path, position } = endOfLog(directory);
    const [, tail] = TAILS[round % TAILS.length]!;
    // The last bytes of a record may be zeros: they are its own.
    overwrite(path, position + 32, tail(random, path, position));
    server = await loaded(directory, random, history, 50);
  }
  say("C3", "torn end of the log", { rounds, ...(await verifyAll(server, history)), seed });
});

/** Folders and files of a store by what is in them. */
const PARTS = ["commitlog", "consumequeue", "index", "config", "checkpoint", "dispatch.checkpoint"];

function filesOf(directory: string, part: string): string[] {
  const path = join(directory, "store", part);
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .map((name) => join(path, name))
    .filter((file) => statSync(file).isFile() && statSync(file).size > 0);
}

test("flipped bits", async () => {
  const { seed, random } = seedOf("flipped bits");
  let rounds = 0;
  const lost: Record<string, number> = {};
  const closed: Record<string, number> = {};
  const noticed: Record<string, number> = {};
  let refusedStarts = 0;
  for (const round of roundsOf("flipped bits", times(6, 36), 60)) {
    rounds = round;
    const part = PARTS[round % PARTS.length]!;
    const directory = scratchDirectory("flip");
    const history = emptyHistory();
    const first = await loaded(directory, random, history, 800);
    const isKilled = random.chance(0.5);
    if (isKilled) await first.kill();
    else expect(await first.stop()).toBe("0");
    const files = filesOf(directory, part);
    if (files.length === 0) continue;
    const file = part === "commitlog" ? endOfLog(directory).path : files[random.integer(0, files.length)]!;
    flipBit(file, random, part === "commitlog" ? endOfLog(directory).position : Number.POSITIVE_INFINITY);
    // Of a store that was killed the doctor has more to say than this.
    if (!isKilled) {
      closed[part] = (closed[part] ?? 0) + 1;
      if (doctorFindings(directory).length > 0) noticed[part] = (noticed[part] ?? 0) + 1;
    }
    const server = await Server.start({ directory }).catch((reason: Error) => reason);
    if (server instanceof Error) {
      // Only where it says which file, and leaves it alone.
      expect(server.message).toMatch(/did not start \(1\): .*COMETMQ_/s);
      refusedStarts++;
      continue;
    }
    await readAll(server.port, history);
    const { length } = checkLost(history, "all");
    expect(checkContents(history).slice(0, 5), part).toEqual([]);
    // One record, with those that share its batch, at the most; and nothing for what can be built again.
    expect(
      length,
      `${part}, ${isKilled ? "killed" : "closed"}, seed ${seed}, round ${round}: ${server.stderr}`,
    ).toBeLessThanOrEqual(part === "commitlog" ? BATCH_MAX : 0);
    lost[part] = (lost[part] ?? 0) + length;
    const segments = filesOf(directory, "commitlog").filter((path) => statSync(path).size !== SEGMENT_BYTES);
    expect(segments).toEqual([]);
    await server.stop();
  }
  say("C8", "one flipped bit", { rounds, lost, closed, noticedByDoctor: noticed, refusedStarts, seed });
});
