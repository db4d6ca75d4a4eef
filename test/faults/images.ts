/**
 * File systems of their own for a test to hurt: ext4 or XFS in a file on a loop device. They are filled up, remounted
 * read-only, and shut down at once, as by a power cut: what was not synced is gone then.
 */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { onEnd, scratchDirectory } from "./scratch.js";
import { monotonicOriginMs } from "./shim.js";

export type FileSystem = "ext4" | "xfs";

/**
 * EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number, _IOR('X', 125, __u32); 2: the journal is not written either.
 * Says when it went into the kernel and when it came back, by CLOCK_MONOTONIC, which Node's own clocks are made of.
 */
const SHUT_DOWN = `
import fcntl, os, struct, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
how = struct.pack("I", 2)
began = time.monotonic_ns()
fcntl.ioctl(fd, 0x8004587d, how)
print(began, time.monotonic_ns())
`;

/** When the device went, by `performance.now()` of this process. */
export interface Cut {
  readonly startedMs: number;
  readonly endedMs: number;
}

function run(command: string, ...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) return `${command}: ${error.message}`;
  return status === 0 ? undefined : `${command} ${args.join(" ")}: ${stderr.trim()}`;
}

function must(problem: string | undefined): void {
  if (problem !== undefined) throw new Error(problem);
}

export class Image {
  readonly directory: string;
  readonly #image: string;
  readonly #type: FileSystem;
  #mounted = false;

  private constructor(directory: string, type: FileSystem) {
    this.#type = type;
    this.#image = join(directory, "image");
    this.directory = join(directory, "mount");
  }

  /** Made and mounted; or why not. */
  static make(type: FileSystem, megabytes: number, journal = true): Image | string {
    if (process.getuid?.() !== 0) return "mounting needs root";
    const image = new Image(scratchDirectory(type), type);
    mkdirSync(image.directory);
    closeSync(openSync(image.#image, "w"));
    truncateSync(image.#image, megabytes * 1024 * 1024);
    const ext4 = ["-q", "-F", "-m", "0", ...(journal ? [] : ["-O", "^has_journal"]), image.#image];
    const problem =
      (type === "ext4" ? run("mkfs.ext4", ...ext4) : run("mkfs.xfs", "-q", "-f", image.#image)) ?? image.#mount();
    if (problem !== undefined) return problem;
    onEnd(() => image.unmount());
    return image;
  }

  #mount(): string | undefined {
    const problem = run("mount", "-o", "loop", this.#image, this.directory);
    this.#mounted = problem === undefined;
    return problem;
  }

  unmount(): void {
    if (!this.#mounted) return;
    this.#mounted = false;
    // The loop device goes with the mount.
    must(run("umount", this.directory) && run("umount", "--lazy", this.directory));
  }

  /** What was not on the device is gone; whoever has files open gets errors. */
  async cutPower(): Promise<Cut> {
    const child = spawn("python3", ["-c", SHUT_DOWN, this.directory], { stdio: ["ignore", "pipe", "inherit"] });
    const output = await text(child.stdout);
    const times = /^(\d+) (\d+)$/m.exec(output);
    if (times === null) throw new Error(`the shutdown ioctl failed: ${output}`);
    const originMs = monotonicOriginMs();
    return { startedMs: Number(times[1]) / 1e6 - originMs, endedMs: Number(times[2]) / 1e6 - originMs };
  }

  /** As after a reboot: nobody may have a file open there any more. */
  remount(): void {
    must(run("umount", this.directory));
    this.#mounted = false;
    must(this.#mount());
  }

  setReadOnly(readOnly: boolean): void {
    must(run("mount", "-o", `remount,${readOnly ? "ro" : "rw"}`, this.directory));
  }

  /** As by an error of the device, also while somebody has files open: ext4 by its own debugging option, XFS by stopping. */
  async turnReadOnly(): Promise<void> {
    if (this.#type === "ext4") must(run("mount", "-o", "remount,abort", this.directory));
    else await this.cutPower();
  }

  /** Takes all but `leftBytes` of what is free. */
  fill(leftBytes: number): void {
    const fd = openSync(join(this.directory, "filler"), "w");
    const chunk = Buffer.alloc(64 * 1024, 1);
    try {
      for (;;) {
        const { bavail, bsize } = statfsSync(this.directory);
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

  empty(): void {
    rmSync(join(this.directory, "filler"), { force: true });
  }
}
