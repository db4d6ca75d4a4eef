/** A real file system of some megabytes, to be filled up: an ext4 image on a loop device. Needs root and a kernel with both. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const mounted: string[] = [];

afterAll(() => {
  for (const directory of mounted.splice(0)) {
    // Maps of files in it last until they are collected: it goes when they do, at the latest with this process.
    run("umount", "--lazy", join(directory, "mount"));
    rmSync(directory, { recursive: true, force: true });
  }
});

function run(command: string, ...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) return `${command}: ${error.message}`;
  return status === 0 ? undefined : `${command}: ${stderr.trim()}`;
}

export interface SmallDisk {
  readonly directory: string;
  /** Takes all but `leftBytes` of what is free; gives it back when it is called again with more. */
  fill(leftBytes: number): void;
}

/** The mounted file system, or why there can be none. It goes when the tests of the file are over. */
export function mountSmallDisk(megabytes: number): SmallDisk | string {
  if (process.getuid?.() !== 0) return "mounting needs root";
  const directory = mkdtempSync(join(tmpdir(), "cometmq-small-"));
  const image = join(directory, "image");
  const mount = join(directory, "mount");
  mkdirSync(mount);
  closeSync(openSync(image, "w"));
  truncateSync(image, megabytes * 1024 * 1024);
  const problem =
    run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image) ?? run("mount", "-o", "loop", image, mount);
  if (problem !== undefined) {
    rmSync(directory, { recursive: true, force: true });
    return problem;
  }
  mounted.push(directory);
  return { directory: mount, fill: (leftBytes) => fill(mount, leftBytes) };
}

function fill(mount: string, leftBytes: number): void {
  const path = join(mount, "filler");
  rmSync(path, { force: true });
  const chunk = Buffer.alloc(64 * 1024, 1);
  const fd = openSync(path, "w");
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(mount);
      const wanted = Math.min(chunk.length, bavail * bsize - leftBytes);
      if (wanted <= 0) break;
      writeSync(fd, chunk, 0, wanted);
    }
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
}

/** Says by name what is left out, and why. */
export function skipAloud(what: string, reason: string | undefined): boolean {
  if (reason !== undefined) process.stderr.write(`skipped: ${what}: ${reason}\n`);
  return reason !== undefined;
}
