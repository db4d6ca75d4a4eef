/**
 * One process, one store: the `lock` file Apache makes (its text is `lock`), held by flock and, where koffi loads, by
 * the POSIX lock that Apache's broker takes, so that the two refuse each other. Both go with the process, however it
 * ends. Never open the file a second time in this process: closing it would drop the POSIX lock.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { CometError, systemCode } from "../base/errors.js";
import type { DirectoryLock } from "./disk.js";
import { native } from "./native.js";
import { ioError } from "./system-error.js";

const heldHere = new Set<string>();

export function lockDirectoryFile(path: string): DirectoryLock {
  const identity = identityOf(path);
  if (heldHere.has(identity)) throw locked(dirname(path), "this process");
  let fd: number;
  try {
    fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
  } catch (error) {
    throw ioError("open", path, error);
  }
  if (!acquire(fd, path)) {
    fs.closeSync(fd);
    throw locked(dirname(path), "another process");
  }
  try {
    if (fs.fstatSync(fd).size === 0) fs.writeSync(fd, "lock", 0);
  } catch (error) {
    fs.closeSync(fd);
    throw ioError("write", path, error);
  }
  heldHere.add(identity);
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      heldHere.delete(identity);
      fs.rmSync(pidPathOf(path), { force: true });
      fs.closeSync(fd);
    },
  };
}

/** The same for every name of a directory. */
function identityOf(path: string): string {
  try {
    return `${fs.realpathSync(dirname(path))}/lock`;
  } catch (error) {
    throw ioError("open", path, error);
  }
}

function locked(directory: string, holder: string): CometError {
  return new CometError("COMETMQ_STORE_LOCKED", `The store ${directory} is in use by ${holder}.`);
}

function acquire(fd: number, path: string): boolean {
  const calls = native();
  if (calls !== undefined) return calls.lockFile(fd);
  // The lock belongs to the open file, which the child shares: it stays when the child has gone.
  const child = spawnSync("flock", ["-n", "-x", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
  return child.error === undefined ? child.status === 0 : acquireByPid(path);
}

/** Where neither koffi nor flock is: a file with the holder's process id, honoured while that process lives. */
function acquireByPid(path: string): boolean {
  const pidPath = pidPathOf(path);
  const holder = Number(fs.existsSync(pidPath) ? fs.readFileSync(pidPath, "utf8") : "0");
  if (holder > 0 && holder !== process.pid && isAlive(holder)) return false;
  fs.writeFileSync(pidPath, String(process.pid));
  return true;
}

function pidPathOf(path: string): string {
  return `${path}.pid`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
