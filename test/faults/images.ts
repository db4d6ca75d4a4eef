/**
 * File systems of their own for a test to hurt: ext4 or XFS in a file on a loop device. They are filled up, remounted
 * read-only, frozen, slowed down, and shut down at once, as by a power cut: what was not synced is gone then.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { onEnd, scratchDirectory } from "./scratch.js";
import { monotonicOriginMs } from "./shim.js";

export type FileSystem = "ext4" | "xfs";

/** Of all processes, which is where the kernel counts what it writes back by itself. */
const WRITE_LIMITS = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";

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

/**
 * Does something to a file system for a time, in a process of its own that undoes it whatever becomes of whoever asked:
 * who waits for a frozen file system cannot be killed, and it cannot be unmounted. The path is no argument, so that
 * nobody takes the process for a server of the test's and ends it.
 */
const FOR_A_TIME = `
import fcntl, os, time
path, how, lasts = os.environ["HURT"], os.environ["HOW"], float(os.environ["LASTS_MS"]) / 1000
fd = os.open(path, os.O_RDONLY)
device = os.fstat(fd).st_dev
def limit(rate):
    with open("${WRITE_LIMITS}", "w") as limits:
        limits.write("%d:%d %d" % (os.major(device), os.minor(device), rate))
def begin():
    if how == "freeze": fcntl.ioctl(fd, 0xc0045877, 0)
    else: limit(int(how))
def undo():
    if how == "freeze": fcntl.ioctl(fd, 0xc0045878, 0)
    else: limit(0)
begin()
try:
    began = time.monotonic_ns()
    time.sleep(lasts)
finally:
    ended = time.monotonic_ns()
    undo()
print(began, ended)
`;

/** What was done to the device, by `performance.now()` of this process. */
export interface Spell {
  readonly startedMs: number;
  readonly endedMs: number;
}

async function spellOf(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Spell> {
  const child = spawn("python3", ["-c", program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
    env: { ...process.env, ...env },
  });
  const output = await text(child.stdout);
  const times = /^(\d+) (\d+)$/m.exec(output);
  if (times === null) throw new Error(`nothing was done to the device: ${output}`);
  const originMs = monotonicOriginMs();
  return { startedMs: Number(times[1]) / 1e6 - originMs, endedMs: Number(times[2]) / 1e6 - originMs };
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

  /** Why the device cannot be slowed down; undefined where it can. */
  static get whyNotSlow(): string | undefined {
    return existsSync(WRITE_LIMITS) ? undefined : `no cgroup of version 1 for disks (${WRITE_LIMITS})`;
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
  cutPower(): Promise<Spell> {
    return spellOf(SHUT_DOWN, [this.directory]);
  }

  /** Whoever writes waits; fulfilled after so long, when it is thawed. */
  freeze(lastsMs: number): Promise<Spell> {
    return this.#hurt("freeze", lastsMs);
  }

  /** The device takes no more than so much a second; the page cache goes on. Fulfilled when it does again. */
  slowDown(bytesPerSecond: number, lastsMs: number): Promise<Spell> {
    return this.#hurt(String(bytesPerSecond), lastsMs);
  }

  #hurt(how: string, lastsMs: number): Promise<Spell> {
    const hurt = spellOf(FOR_A_TIME, [], { HURT: this.directory, HOW: how, LASTS_MS: String(lastsMs) });
    // A server that waits for the disk can be ended only when that is over.
    onEnd(() =>
      hurt.then(
        () => {},
        () => {},
      ),
    );
    return hurt;
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
    const filler = join(this.directory, "filler");
    const fd = openSync(filler, "w");
    const chunk = Buffer.alloc(64 * 1024, 1);
    try {
      // The most of it at once, and nothing of it written; what that leaves, or all where it cannot be done, bit by bit.
      const most = this.freeBytes - leftBytes - chunk.length;
      if (most > 0) run("fallocate", "--length", String(most), filler);
      for (let end = fstatSync(fd).size; ; ) {
        const wanted = Math.min(chunk.length, this.freeBytes - leftBytes);
        if (wanted <= 0) break;
        end += writeSync(fd, chunk, 0, wanted, end);
      }
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    } finally {
      closeSync(fd);
    }
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.directory);
    return bavail * bsize;
  }

  empty(): void {
    rmSync(join(this.directory, "filler"), { force: true });
  }
}
