/** The preloaded library (shim.c) that lets file calls fail or take their time, and moves the clock, of a server process. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { onEnd } from "./scratch.js";

export const Call = { OPEN: 1, WRITE: 2, SYNC: 4, ALLOCATE: 8, MAP: 16, RENAME: 32, TRUNCATE: 64 } as const;
export type CallName = keyof typeof Call;
export const ERRNO = { EIO: 5, EMFILE: 24, ENOSPC: 28, EROFS: 30 } as const;

/** As in shim.c. */
const CONTROL_BYTES = 4096;
const FAIL_AT = 0;
const SLOW_AT = 16;
const STRUCK_AT = 24;
const CLOCK_AT = 32;
const PATH_AT = 40;
const PATH_BYTES_MAX = 255;
const WATCH_AT = 296;
const SYNCS_AT = 512;
const SYNC_BYTES = 24;
const SYNCS_MAX = 128;

export interface Failure {
  readonly calls: readonly CallName[];
  readonly errno: number;
  /** On paths that contain it. */
  readonly path: string;
  /** So many go through first (0). */
  readonly letPass?: number;
  /** So many fail; all of them by default. */
  readonly count?: number;
}

/** A sync as the kernel answered it; times by `performance.now()` of this process. */
export interface Sync {
  readonly beganMs: number;
  readonly endedMs: number;
  readonly isDone: boolean;
}

export class Shim {
  readonly env: NodeJS.ProcessEnv;
  readonly #fd: number;

  private constructor(library: string, control: string) {
    writeFileSync(control, Buffer.alloc(CONTROL_BYTES));
    this.#fd = openSync(control, "r+");
    onEnd(() => closeSync(this.#fd));
    this.env = { LD_PRELOAD: library, COMETMQ_SHIM_CONTROL: control };
  }

  /** Compiled into the directory; or why not. */
  static build(directory: string): Shim | string {
    if (process.platform !== "linux") return `preloading as here is Linux's, this is ${process.platform}`;
    const library = join(directory, "shim.so");
    const source = join(import.meta.dirname, "shim.c");
    const done = spawnSync("cc", ["-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], { encoding: "utf8" });
    if (done.error !== undefined) return `no C compiler: ${done.error.message}`;
    if (done.status !== 0) throw new Error(`cc: ${done.stderr}`);
    return new Shim(library, join(directory, "shim.control"));
  }

  fail({ calls, errno, path, letPass = 0, count = -1 }: Failure): void {
    this.#setPath(path);
    const fields = Buffer.alloc(16);
    fields.writeInt32LE(errno, 4);
    fields.writeInt32LE(letPass, 8);
    fields.writeInt32LE(count, 12);
    writeSync(this.#fd, Buffer.alloc(4), 0, 4, STRUCK_AT);
    // What says that there is a failure comes last.
    writeSync(this.#fd, fields, 4, 12, FAIL_AT + 4);
    fields.writeInt32LE(maskOf(calls), 0);
    writeSync(this.#fd, fields, 0, 4, FAIL_AT);
  }

  slow(calls: readonly CallName[], ms: number, path: string): void {
    this.#setPath(path);
    const fields = Buffer.alloc(8);
    fields.writeInt32LE(ms, 4);
    writeSync(this.#fd, fields, 4, 4, SLOW_AT + 4);
    fields.writeInt32LE(maskOf(calls), 0);
    writeSync(this.#fd, fields, 0, 4, SLOW_AT);
  }

  /** The wall clock is so much ahead; behind, if negative. */
  moveClock(ms: number): void {
    const field = Buffer.alloc(8);
    field.writeBigInt64LE(BigInt(ms));
    writeSync(this.#fd, field, 0, 8, CLOCK_AT);
  }

  /** The disk is well again. */
  heal(): void {
    writeSync(this.#fd, Buffer.alloc(4), 0, 4, FAIL_AT);
    writeSync(this.#fd, Buffer.alloc(4), 0, 4, SLOW_AT);
  }

  /** From now on syncs of files whose path contains it are written down. */
  watchSyncs(path: string): void {
    this.#setPath(path);
    writeSync(this.#fd, Buffer.from([1, 0, 0, 0]), 0, 4, WATCH_AT);
  }

  /** The last of those. */
  syncs(): Sync[] {
    const count = Math.min(SYNCS_MAX, this.#count(WATCH_AT + 4));
    const bytes = Buffer.alloc(count * SYNC_BYTES);
    readSync(this.#fd, bytes, 0, bytes.length, SYNCS_AT);
    const originMs = monotonicOriginMs();
    return Array.from({ length: count }, (_, i) => ({
      beganMs: Number(bytes.readBigInt64LE(i * SYNC_BYTES)) / 1e6 - originMs,
      endedMs: Number(bytes.readBigInt64LE(i * SYNC_BYTES + 8)) / 1e6 - originMs,
      isDone: bytes.readBigInt64LE(i * SYNC_BYTES + 16) === 0n,
    })).sort((a, b) => a.endedMs - b.endedMs);
  }

  /** Calls that have failed since `fail`. */
  get struckCount(): number {
    return this.#count(STRUCK_AT);
  }

  get slowedCount(): number {
    return this.#count(STRUCK_AT + 4);
  }

  #count(at: number): number {
    const field = Buffer.alloc(4);
    readSync(this.#fd, field, 0, 4, at);
    return field.readInt32LE();
  }

  #setPath(path: string): void {
    const field = Buffer.alloc(PATH_BYTES_MAX + 1);
    field.write(path, 0, PATH_BYTES_MAX, "latin1");
    writeSync(this.#fd, field, 0, field.length, PATH_AT);
  }
}

/** What `performance.now()` is behind CLOCK_MONOTONIC. */
export function monotonicOriginMs(): number {
  return Number(process.hrtime.bigint()) / 1e6 - performance.now();
}

function maskOf(calls: readonly CallName[]): number {
  return calls.reduce((mask, name) => mask | Call[name], 0);
}
