/** What only a disk of real files does: blocks, a device that is full, and what is missing on the machine. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { mountSmallDisk, skipAloud } from "./small-disk.js";

const MEBIBYTE = 1024 * 1024;
const BACKENDS: Backend[] = (["mmap-io", "koffi", "file"] as const).filter((backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    return false;
  }
});
const MODULE = new URL(import.meta.resolve("#src/io/file-disk.js")).href;

const root = mkdtempSync(join(tmpdir(), "cometmq-file-disk-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Runs `program`, which has `disk` and `path`, in a process without koffi, and without commands if `PATH` says so. */
function withoutKoffi(program: string, path: string, PATH = process.env.PATH): string {
  const source = `
    const { Module } = process.getBuiltinModule("node:module");
    const load = Module._load;
    Module._load = (name, ...rest) => { if (name === "koffi") throw new Error("not there"); return load(name, ...rest); };
    const { FileDisk, chooseBackend } = await import(${JSON.stringify(MODULE)});
    const disk = new FileDisk("file");
    const path = ${JSON.stringify(path)};
    ${program}`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", source], {
    encoding: "utf8",
    env: { ...process.env, PATH },
    timeout: 20_000,
  });
  return stderr === "" ? stdout.trim() : stderr;
}

const CREATE = `
  try { disk.createSegment(path, ${4 * MEBIBYTE}); console.log("made"); }
  catch (error) { console.log(error.code); }`;

const WAYS: [string, string | undefined][] = [
  ["the fallocate command", process.env.PATH],
  ["zeros", "/nowhere"],
];

test("a directory that is there is not made: where the file system is frozen mkdir would wait", () => {
  const path = join(root, "there");
  const fs = process.getBuiltinModule("node:fs");
  const { mkdirSync } = fs;
  new FileDisk().makeDirectory(path);
  try {
    fs.mkdirSync = () => {
      throw new Error("it is there");
    };
    syncBuiltinESMExports();
    new FileDisk().makeDirectory(path);
  } finally {
    fs.mkdirSync = mkdirSync;
    syncBuiltinESMExports();
  }
  expect(new FileDisk().isDirectory(path)).toBe(true);
});

test("a new segment has all its blocks", () => {
  for (const backend of BACKENDS) {
    const path = join(root, backend);
    new FileDisk(backend).createSegment(path, 4 * MEBIBYTE);
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(4 * MEBIBYTE);
  }
});

test.each(WAYS)("it has them by %s too, where koffi is not there", (name, PATH) => {
  const path = join(root, name);
  expect(withoutKoffi(CREATE, path, PATH)).toBe("made");
  expect(statSync(path)).toMatchObject({ size: 4 * MEBIBYTE });
  expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(4 * MEBIBYTE);
});

test("without koffi a backend is found all the same, and one that does not load is refused", () => {
  expect(withoutKoffi("console.log(chooseBackend())", root)).toMatch(/^(mmap-io|file)$/);
  const refused = 'try { chooseBackend("koffi"); } catch (error) { console.log(error.code, error.message); }';
  expect(withoutKoffi(refused, root)).toMatch(/^COMETMQ_BACKEND The storage backend koffi does not load/);
  expect(() => chooseBackend("memory")).toThrow(expect.objectContaining({ code: "COMETMQ_BACKEND" }));
});

const probedDevice = new FileDisk("file").openDeviceSync(root);
probedDevice?.close();
skipAloud("a device synced as a whole", probedDevice ? undefined : "no koffi, another file system, or an old kernel");

test.skipIf(probedDevice === undefined)("a device is synced as a whole, and once closed it says no", async () => {
  const device = new FileDisk("file").openDeviceSync(root)!;
  expect(await device.sync()).toBe(true);
  const last = device.sync();
  device.close();
  device.close();
  expect(await last).toBe(true);
  expect(await device.sync()).toBe(false);
  expect(new FileDisk("file").openDeviceSync("/proc")).toBeUndefined();
});

test("what the system refuses is an error with its name and cause", () => {
  writeFileSync(join(root, "plain"), "x");
  const disk = new FileDisk("file");
  const inFile = join(root, "plain", "x");
  const attempts = [
    () => disk.makeDirectory(inFile),
    () => disk.writeAtomically(inFile, "x"),
    () => disk.openFile(inFile, true),
    () => disk.createSegment(inFile, 4096),
    () => disk.rename(inFile, join(root, "y")),
    () => disk.lock(join(root, "missing", "lock")),
    () => disk.space(join(root, "missing")),
  ];
  for (const attempt of attempts) expect(attempt).toThrow(expect.objectContaining({ code: "COMETMQ_IO" }));
  expect(() => disk.makeDirectory(inFile)).toThrow(/^Could not create the directory .*plain\/x \(ENOTDIR\)\./);
});

const small = mountSmallDisk(16);
const reason = typeof small === "string" ? small : undefined;
skipAloud("a file system that is full", reason);

describe.skipIf(typeof small === "string")("on a file system that is full", () => {
  if (typeof small === "string") return;
  const { directory } = small;
  const freeBytes = () => statfsSync(directory).bavail * statfsSync(directory).bsize;

  test.each(BACKENDS)("%s: a segment that has no room is not there, not even in part", (backend) => {
    const disk = new FileDisk(backend);
    small.fill(2 * MEBIBYTE);
    const names = disk.list(directory);
    const act = () => disk.createSegment(join(directory, "00000000000000000000"), 4 * MEBIBYTE);
    expect(act).toThrow(expect.objectContaining({ code: "COMETMQ_DISK_FULL", retryable: true }));
    expect(act).toThrow(/^No space left to reserve 4194304 bytes for /);
    expect(disk.list(directory)).toEqual(names);
    expect(freeBytes()).toBeGreaterThan(MEBIBYTE);
    small.fill(6 * MEBIBYTE);
    act();
    disk.remove(join(directory, "00000000000000000000"));
  });

  test.each(WAYS)("by %s: the same where koffi is not there", (_, PATH) => {
    small.fill(2 * MEBIBYTE);
    const names = new FileDisk("file").list(directory);
    expect(withoutKoffi(CREATE, join(directory, "segment"), PATH)).toBe("COMETMQ_DISK_FULL");
    expect(new FileDisk("file").list(directory)).toEqual(names);
    expect(freeBytes()).toBeGreaterThan(MEBIBYTE);
  });

  test("a whole file that has no room leaves the old one", () => {
    const disk = new FileDisk("file");
    small.fill(MEBIBYTE);
    const path = join(directory, "config.json");
    disk.writeAtomically(path, "old");
    small.fill(0);
    const names = disk.list(directory);
    expect(() => disk.writeAtomically(path, Buffer.alloc(MEBIBYTE))).toThrow(
      expect.objectContaining({ code: "COMETMQ_DISK_FULL" }),
    );
    expect(disk.readFile(path)?.toString()).toBe("old");
    expect(disk.list(directory)).toEqual(names);
    disk.remove(path);
  });

  test("a write that has no room is an error, and works once there is some", () => {
    const disk = new FileDisk("file");
    small.fill(MEBIBYTE);
    const file = disk.openFile(join(directory, "queue"), true);
    file.truncate(8 * MEBIBYTE);
    const bytes = Buffer.alloc(2 * MEBIBYTE, 7);
    expect(() => file.writeAt(bytes, 0, bytes.length, MEBIBYTE)).toThrow(
      expect.objectContaining({ code: "COMETMQ_DISK_FULL" }),
    );
    small.fill(4 * MEBIBYTE);
    file.writeAt(bytes, 0, bytes.length, MEBIBYTE);
    const read = Buffer.alloc(bytes.length);
    expect(file.readAt(read, 0, read.length, MEBIBYTE)).toBe(read.length);
    expect(read.equals(bytes)).toBe(true);
    file.close();
    disk.remove(join(directory, "queue"));
  });

  test.each(BACKENDS)(
    "%s: a segment that was made can be written to the last byte, however full it gets",
    (backend) => {
      const disk = new FileDisk(backend);
      small.fill(6 * MEBIBYTE);
      const path = join(directory, "00000000000000000000");
      disk.createSegment(path, 4 * MEBIBYTE);
      // The file system gives blocks back of its own accord, a moment later.
      for (let i = 0; i < 20 && freeBytes() > 0; i++) small.fill(0);
      expect(freeBytes()).toBe(0);
      const segment = disk.openSegment(path, 0, 4 * MEBIBYTE, true);
      const chunk = Buffer.alloc(64 * 1024, 9);
      for (let position = 0; position < 4 * MEBIBYTE; position += chunk.length) {
        segment.write(chunk, 0, chunk.length, position);
      }
      segment.syncNow();
      expect(segment.read(4 * MEBIBYTE - 4, 4)).toEqual(Buffer.alloc(4, 9));
      segment.close();
      disk.remove(path);
    },
  );
});

test("on a device that has become read-only what is there can be read, and writing says why not", ({ skip }) => {
  const small = mountSmallDisk(16);
  if (typeof small === "string") {
    skipAloud("a device that has become read-only", small);
    return skip();
  }
  const path = join(small.directory, "file");
  const disk = new FileDisk("file");
  disk.writeAtomically(path, "kept");
  expect(spawnSync("mount", ["-o", "remount,ro", small.directory]).status).toBe(0);
  const file = disk.openFile(path, false);
  const bytes = Buffer.alloc(4);
  expect([file.readAt(bytes, 0, 4, 0), bytes.toString()]).toEqual([4, "kept"]);
  expect(() => file.writeAt(bytes, 0, 4, 0)).toThrow(expect.objectContaining({ code: "COMETMQ_IO" }));
  expect(() => disk.openFile(`${path}2`, true)).toThrow(/EROFS/);
  file.close();
});

describe("directories", () => {
  const disk = new FileDisk("file");

  test("are made with those above them, whatever is there already", () => {
    const path = join(root, "made", "one", "two");
    disk.makeDirectory(path);
    disk.makeDirectory(path);
    disk.makeDirectory(`${join(root, "made", "one", "three")}/`);
    disk.makeDirectory("/");
    expect(disk.list(join(root, "made", "one"))).toEqual(["three", "two"]);
    const link = join(root, "link");
    symlinkSync(path, link);
    disk.makeDirectory(link);
    disk.makeDirectory(join(link, "below"));
    expect(disk.list(path)).toEqual(["below"]);
  });

  test("are not made below a file, nor behind a link to nothing", () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    expect(() => disk.makeDirectory(file)).toThrow("EEXIST");
    expect(() => disk.makeDirectory(join(file, "x", "y"))).toThrow("ENOTDIR");
    const link = join(root, "to-nothing");
    symlinkSync(join(root, "nothing"), link);
    expect(() => disk.makeDirectory(link)).toThrow("EEXIST");
    expect(() => disk.makeDirectory(join(link, "x"))).toThrow(/EEXIST|ENOENT/);
  });

  test.skipIf(process.platform !== "linux")(
    "where the kernel lets none be made are refused, and not tried for ever",
    () => {
      const program = `try { disk.makeDirectory(path); } catch ({ code, message }) { process.stdout.write(code + " " + message); }`;
      for (const path of ["/proc/cometmq", "/proc/cometmq/deep/er", "/proc/self/x"]) {
        expect(withoutKoffi(program, path)).toMatch(/^COMETMQ_\w+ .*\((ENOENT|EPERM|EACCES)\)/);
      }
    },
  );
});
