import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { ConfigSaver } from "#src/server/broker/config-saver.js";
import { JsonConfigFile } from "#src/server/broker/json-config-file.js";
import { FakeClock, FakeLog } from "./harness.js";

const PATH = "/config/t.json";

/** Saves end when the test says so. */
class HeldDisk extends MemoryDisk {
  readonly #held: (() => void)[] = [];

  override async replace(path: string, content: Uint8Array | string, keepAs?: string): Promise<void> {
    await new Promise<void>((resolve) => this.#held.push(resolve));
    await super.replace(path, content, keepAs);
  }

  get saving(): number {
    return this.#held.length;
  }

  letGo(): void {
    this.#held.shift()!();
  }
}

function table() {
  const disk = new HeldDisk();
  const values = { n: 0 };
  const log = new FakeLog();
  const saver = new ConfigSaver(new JsonConfigFile(disk, PATH), () => ({ ...values }), new FakeClock(), log);
  const change = (n: number) => {
    values.n = n;
    saver.markDirty();
    return saver.saveIfDirty()!;
  };
  return { disk, saver, change, saved: () => disk.readFile(PATH)?.toString() };
}

test("changes made while a save is under way share the next one, and are acknowledged by no other", async () => {
  const { disk, saver, change, saved } = table();
  const done: number[] = [];
  const first = change(1).then(() => done.push(1));
  await Promise.resolve();
  expect(disk.saving).toBe(1);
  const second = change(2).then(() => done.push(2));
  const third = change(3).then(() => done.push(3));
  disk.letGo();
  await first;
  expect([done, saved()]).toEqual([[1], '{\n\t"n":1\n}']);
  while (disk.saving === 0) await Promise.resolve();
  disk.letGo();
  await Promise.all([second, third]);
  expect([done, saved(), disk.saving, saver.dirty]).toEqual([[1, 2, 3], '{\n\t"n":3\n}', 0, false]);
  expect(saver.saveIfDirty()).toBeUndefined();
});

test("a save that fails is told once until one succeeds, with its cause", async () => {
  const disk = new MemoryDisk();
  let isBroken = true;
  disk.replace = async (path, content) => {
    if (isBroken) throw new CometError("COMETMQ_IO", "Could not write it.");
    disk.writeAtomically(path, content);
  };
  const log = new FakeLog();
  const saver = new ConfigSaver(new JsonConfigFile(disk, PATH), () => ({}), new FakeClock(), log);
  for (let i = 0; i < 3; i++) expect(await saver.save()).toContain("Could not write it.");
  expect(log.at("error", /could not be saved/)).toHaveLength(1);
  isBroken = false;
  expect(await saver.save()).toBeUndefined();
  expect(log.at("info", /was saved again/)).toHaveLength(1);
});

test("who has changed nothing waits for what another has changed", async () => {
  const { disk, saver, change } = table();
  void change(1);
  await Promise.resolve();
  const saving = saver.saveIfDirty();
  expect(saving).toBeDefined();
  disk.letGo();
  expect(await saving).toBeUndefined();
});

test("closing saves what is left, behind the save under way", async () => {
  const { disk, saver, change, saved } = table();
  void change(1);
  await Promise.resolve();
  void change(2);
  const closed = saver.close();
  disk.letGo();
  while (disk.saving === 0) await Promise.resolve();
  disk.letGo();
  await closed;
  expect(saved()).toBe('{\n\t"n":2\n}');
});
