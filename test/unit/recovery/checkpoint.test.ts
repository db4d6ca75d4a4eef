import { describe, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import {
  abortFileExists,
  createAbortFile,
  lastStoreEnd,
  readAbortPid,
  removeAbortFile,
} from "#src/recovery/abort-file.js";
import { CHECKPOINT_BYTES, StoreCheckpoint } from "#src/recovery/checkpoint.js";

const NOW = 1762255040133;

function bytesOf(...values: bigint[]): Buffer {
  const bytes = Buffer.alloc(CHECKPOINT_BYTES);
  values.forEach((value, i) => {
    bytes.writeBigInt64BE(value, i * 8);
  });
  return bytes;
}

function load(content: Buffer | undefined): StoreCheckpoint {
  const disk = new MemoryDisk();
  if (content !== undefined) disk.writeAtomically("checkpoint", content);
  return StoreCheckpoint.load(disk, "checkpoint", NOW);
}

function fields(checkpoint: StoreCheckpoint): number[] {
  const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } =
    checkpoint;
  return [physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset];
}

describe("a checkpoint", () => {
  test("is five int64 in 4096 bytes, and comes back as it was saved", async () => {
    const disk = new MemoryDisk();
    const checkpoint = StoreCheckpoint.load(disk, "checkpoint", NOW);
    expect(checkpoint.verdict).toBe("missing");
    checkpoint.physicMsgTimestamp = NOW - 1;
    checkpoint.logicsMsgTimestamp = NOW - 2;
    checkpoint.indexMsgTimestamp = NOW - 3;
    checkpoint.masterFlushedOffset = 2 ** 50;
    checkpoint.confirmPhyOffset = 77;
    await checkpoint.save();
    const wanted = bytesOf(BigInt(NOW - 1), BigInt(NOW - 2), BigInt(NOW - 3), 2n ** 50n, 77n);
    expect(disk.readFile("checkpoint")!.equals(wanted)).toBe(true);
    checkpoint.confirmPhyOffset = 78;
    checkpoint.saveNow();
    checkpoint.close();
    const again = StoreCheckpoint.load(disk, "checkpoint", NOW);
    expect(again.verdict).toBe("ok");
    expect(fields(again)).toEqual([NOW - 1, NOW - 2, NOW - 3, 2 ** 50, 78]);
  });

  test("that is short reads as zeros", () => {
    for (const length of [0, 1, 39]) {
      const checkpoint = load(Buffer.alloc(length, 1));
      expect([checkpoint.verdict, fields(checkpoint)]).toEqual(["short", [0, 0, 0, 0, 0]]);
    }
    expect(load(bytesOf(1n, 2n, 3n, 4n, 5n).subarray(0, 40)).verdict).toBe("ok");
  });

  test("that makes no sense reads as zeros", () => {
    const day = 24n * 3600n * 1000n;
    const nonsense = [
      bytesOf(-1n),
      bytesOf(0n, -(2n ** 63n)),
      bytesOf(0n, 0n, 2n ** 63n - 1n),
      bytesOf(1n, 1n, 1n, 2n ** 60n),
      bytesOf(1n, 1n, 1n, 0n, -2n),
      bytesOf(BigInt(NOW) + day + 1n),
      Buffer.alloc(CHECKPOINT_BYTES, 0xff),
    ];
    for (const content of nonsense) {
      const checkpoint = load(content);
      expect([checkpoint.verdict, fields(checkpoint)]).toEqual(["nonsense", [0, 0, 0, 0, 0]]);
    }
    expect(load(bytesOf(BigInt(NOW) + day, 0n, 0n, -1n)).verdict).toBe("ok");
  });

  test("says from when on records are dispatched again", () => {
    const checkpoint = load(bytesOf(10_000n, 9_000n, 2_000n));
    expect(checkpoint.minTimestamp).toBe(6_000);
    expect(checkpoint.minTimestampIndex).toBe(2_000);
    expect(load(bytesOf(2_000n, 9_000n, 5_000n)).minTimestamp).toBe(0);
  });
});

test("the abort file is there between opening and closing, and says whose it is", () => {
  const disk = new MemoryDisk();
  expect(abortFileExists(disk, "abort")).toBe(false);
  expect(readAbortPid(disk, "abort")).toBeUndefined();
  createAbortFile(disk, "abort", 4321);
  expect(abortFileExists(disk, "abort")).toBe(true);
  expect(disk.readFile("abort")!.toString()).toBe("4321\nmemory\n");
  expect(readAbortPid(disk, "abort")).toBe(4321);
  removeAbortFile(disk, "abort");
  expect(abortFileExists(disk, "abort")).toBe(false);
  removeAbortFile(disk, "abort");
});

test("the abort file tells a killed process from a system that has stopped, and from another broker", () => {
  const disk = new MemoryDisk();
  expect(lastStoreEnd(disk, "abort")).toBe("closed");
  createAbortFile(disk, "abort", 4321);
  expect(lastStoreEnd(disk, "abort")).toBe("process");
  for (const [text, end] of [
    ["4321\nanother run\n", "system"],
    ["4321\n?\n", "system"],
    ["4321", "unknown"],
    ["", "unknown"],
    ["x".repeat(5000), "unknown"],
  ] as const) {
    disk.writeAtomically("abort", text);
    expect([text.slice(0, 20), lastStoreEnd(disk, "abort")]).toEqual([text.slice(0, 20), end]);
  }
});

test("an abort file of anything else counts as one", () => {
  for (const content of ["", "x", "-1", "9".repeat(5000), "12\u00001"]) {
    const disk = new MemoryDisk();
    disk.writeAtomically("abort", content);
    expect(abortFileExists(disk, "abort")).toBe(true);
    expect(readAbortPid(disk, "abort")).toBeUndefined();
  }
});
