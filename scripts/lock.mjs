/**
 * A lock between processes of one machine: a directory, which only one of them can make. The holder's pid lies in it, so
 * that the lock of a process that was killed is taken over instead of waited for.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a lock may be without an owner file: its maker is between two system calls. */
const OWNERLESS_MS = 10_000;
/** A pid says nothing on another host (a shared folder, a container): there, age decides. */
const FOREIGN_MS = 30 * 60_000;

/** Runs `task` while no other process is inside with the same `directory`. `onWait` is called once if it has to wait. */
export async function withLock(directory, task, onWait = () => {}) {
  mkdirSync(path.dirname(directory), { recursive: true });
  for (let waited = false; !acquire(directory); ) {
    if (breakStale(directory)) continue;
    if (!waited) onWait();
    waited = true;
    await sleep(200);
  }
  try {
    return await task();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function acquire(directory) {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(path.join(directory, "owner"), ownerOf(process.pid));
  return true;
}

const ownerOf = (pid) => `${pid} ${hostname()}`;

function readOwner(directory) {
  try {
    return readFileSync(path.join(directory, "owner"), "utf8").trim();
  } catch {
    return "";
  }
}

function isStale(directory, owner) {
  const ageMs = Date.now() - statSync(directory).mtimeMs;
  if (owner === "") return ageMs > OWNERLESS_MS;
  const pid = Number.parseInt(owner, 10);
  if (owner !== ownerOf(pid)) return ageMs > FOREIGN_MS;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

/** True when the lock was (or just became) free to try again. Two that break at once: the rename lets one of them. */
function breakStale(directory) {
  try {
    const owner = readOwner(directory);
    if (!isStale(directory, owner)) return false;
    const aside = `${directory}.stale-${process.pid}`;
    renameSync(directory, aside);
    if (readOwner(aside) === owner) rmSync(aside, { recursive: true, force: true });
    else renameSync(aside, directory);
    return true;
  } catch (error) {
    if (error.code === "ENOENT") return true;
    throw error;
  }
}
