/** The store's lock between processes: CometMQ's own, and Apache's as Java takes it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { native } from "#src/io/native.js";
import { skipAloud } from "./small-disk.js";

const MODULE = new URL(import.meta.resolve("#src/io/file-disk.js")).href;
const root = mkdtempSync(join(tmpdir(), "cometmq-lock-"));
const children: ChildProcess[] = [];

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(root, "s-"));
  path = join(directory, "lock");
});

const disk = new FileDisk("file");

/** What keeps native packages or commands from being found, as on a machine without them. */
const WITHOUT_KOFFI = `
  const { Module } = process.getBuiltinModule("node:module");
  const load = Module._load;
  Module._load = (name, ...rest) => { if (name === "koffi") throw new Error("not there"); return load(name, ...rest); };
`;
const HOLD = 'setInterval(() => {}, 1000); console.log("locked");';

interface Way {
  readonly name: string;
  readonly prelude: string;
  readonly path: string | undefined;
}

const WAYS: Way[] = [
  { name: "with koffi", prelude: "", path: process.env.PATH },
  { name: "without koffi, by the flock command", prelude: WITHOUT_KOFFI, path: process.env.PATH },
  { name: "without koffi and flock, by process id", prelude: WITHOUT_KOFFI, path: "/nowhere" },
];

/** A process that tries to lock `at`, by its own way; prints "locked" and keeps it, or prints why not. */
function contender({ prelude, path: PATH }: Way, at: string): ChildProcess & { said: Promise<string> } {
  const program = `${prelude}
    const { FileDisk } = await import(${JSON.stringify(MODULE)});
    try { globalThis.lock = new FileDisk("file").lock(${JSON.stringify(at)}); ${HOLD} }
    catch (error) { console.log(error.code + ": " + error.message); }`;
  return talking(spawn(process.execPath, ["--input-type=module", "-e", program], { env: { ...process.env, PATH } }));
}

function talking(child: ChildProcess): ChildProcess & { said: Promise<string> } {
  children.push(child);
  let stderr = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const said = new Promise<string>((resolve, reject) => {
    child.stdout!.on("data", (chunk: Buffer) => resolve(chunk.toString().trim()));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`ended with ${code}: ${stderr}`)));
  });
  return Object.assign(child, { said });
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

describe.each(WAYS)("$name", (way) => {
  test("another process is refused while this one holds the lock, and named the directory", async () => {
    // The way without either looks at the process id only, so both have to go by it.
    const holder = way.path === "/nowhere" ? contender(way, path) : undefined;
    const lock = holder === undefined ? disk.lock(path) : undefined;
    expect(await holder?.said).toBe(holder && "locked");
    expect(await contender(way, path).said).toMatch(
      `COMETMQ_STORE_LOCKED: The store ${directory} is in use by another process. Stop the process that holds`,
    );
    lock?.release();
    if (holder !== undefined) await killed(holder);
    expect(await contender(way, path).said).toBe("locked");
  });

  test("the lock goes with its process, however that ends", async () => {
    const holder = contender(way, path);
    expect(await holder.said).toBe("locked");
    expect(readFileSync(path, "utf8")).toBe("lock");
    if (way.path !== "/nowhere") expect(() => disk.lock(path)).toThrow("in use by another process");
    await killed(holder);
    disk.lock(path).release();
    expect(existsSync(path)).toBe(true);
  });
});

test("this process is refused as well, also by another name of the directory", () => {
  const lock = disk.lock(path);
  symlinkSync(directory, `${directory}-link`);
  expect(() => disk.lock(`${directory}-link/lock`)).toThrow("is in use by this process");
  expect(() => new FileDisk("koffi").lock(join(directory, "..", directory.slice(root.length + 1), "lock"))).toThrow(
    "is in use by this process",
  );
  lock.release();
  disk.lock(`${directory}-link/lock`).release();
});

test("a refused attempt does not cost the holder its lock", async () => {
  const lock = disk.lock(path);
  expect(() => disk.lock(path)).toThrow("in use");
  expect(await contender(WAYS[0]!, path).said).toMatch(/^COMETMQ_STORE_LOCKED/);
  lock.release();
});

test("what the file holds is left as it is", () => {
  writeFileSync(path, "lock of old");
  disk.lock(path).release();
  expect(readFileSync(path, "utf8")).toBe("lock of old");
});

test("a lock that cannot be made says why", () => {
  mkdirSync(path);
  expect(() => disk.lock(path)).toThrow(expect.objectContaining({ code: "COMETMQ_IO" }));
});

const javaMissing =
  native() === undefined
    ? "koffi is not there, and only with it Java sees the lock"
    : spawnSync("java", ["-version"]).status === 0
      ? undefined
      : "there is no java";
skipAloud("locks against Java", javaMissing);

describe.skipIf(javaMissing !== undefined)("Java's FileChannel.tryLock, as Apache's broker takes it", () => {
  /** `try` says what came of it and ends, `hold` keeps it. */
  function java(what: "try" | "hold"): ChildProcess & { said: Promise<string> } {
    const source = join(root, "Lock.java");
    if (!existsSync(source)) copyFileSync(join(import.meta.dirname, "Lock.java"), source);
    return talking(spawn("java", ["-Xshare:auto", "-XX:TieredStopAtLevel=1", source, what, path]));
  }

  test("is refused while we have the lock, and has it afterwards", async () => {
    const lock = disk.lock(path);
    expect(await java("try").said).toBe("refused");
    lock.release();
    expect(await java("try").said).toBe("locked");
  });

  test("keeps us out until its process is gone", async () => {
    const holder = java("hold");
    expect(await holder.said).toBe("locked");
    expect(() => disk.lock(path)).toThrow(`The store ${directory} is in use by another process.`);
    await killed(holder);
    disk.lock(path).release();
  });
});

test.runIf(existsSync("/dev/full"))("a lock that can not be written is let go", () => {
  symlinkSync("/dev/full", path);
  expect(() => disk.lock(path)).toThrow(expect.objectContaining({ code: "COMETMQ_DISK_FULL" }));
  rmSync(path);
  disk.lock(path).release();
  symlinkSync("/dev/full", `${path}2`);
  const handles = () => readdirSync("/proc/self/fd").length;
  const before = handles();
  expect(() => disk.lock(`${path}2`)).toThrow();
  expect(handles()).toBe(before);
});
