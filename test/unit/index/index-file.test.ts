import { expect, test } from "vitest";
import {
  DEFAULT_INDEX_SIZES,
  decodeHeader,
  encodeHeader,
  IndexFile,
  IndexHeader,
  indexFileBytes,
  indexFileName,
  isIndexFileName,
} from "#src/index/index-file.js";
import { FailingDisk } from "./failing-disk.js";

const sizes = { maxHashSlotNum: 7, maxIndexNum: 10 };

test("a file of Apache's sizes has 420 million bytes and 40", () => {
  expect(indexFileBytes(DEFAULT_INDEX_SIZES)).toBe(420_000_040);
  expect(indexFileBytes(sizes)).toBe(40 + 28 + 200);
});

test("sizes that make no file are refused by name", () => {
  const refused = (maxHashSlotNum: number, maxIndexNum: number) => () =>
    indexFileBytes({ maxHashSlotNum, maxIndexNum });
  expect(refused(0, 10)).toThrow("maxHashSlotNum is 0");
  expect(refused(1.5, 10)).toThrow("maxHashSlotNum is 1.5");
  expect(refused(7, 1)).toThrow("maxIndexNum is 1,");
  expect(refused(Number.NaN, 10)).toThrow("maxHashSlotNum is NaN");
  expect(refused(7, 2 ** 27)).toThrow("2^31-1 at most");
});

test("a name is the local time, and always after the last one", () => {
  const at = new Date(2026, 0, 2, 3, 4, 5, 6).getTime();
  expect(indexFileName(at, "")).toBe("20260102030405006");
  expect(indexFileName(at, "20260102030405005")).toBe("20260102030405006");
  expect(indexFileName(at, "20260102030405006")).toBe("20260102030405007");
  expect(indexFileName(at, "20260102030405999")).toBe("20260102030406000");
  expect(indexFileName(at, "20301231235959999")).toBe("20301231235960000");
});

test("names that Apache would not give are foreign", () => {
  expect(isIndexFileName("20261121084632831")).toBe(true);
  for (const name of [
    "",
    "x",
    "2026112108463283",
    "202611210846328310",
    "2026112108463283a",
    "..",
    "20261121084632831.tmp",
  ]) {
    expect(isIndexFileName(name)).toBe(false);
  }
  expect(isIndexFileName("99999999999999999")).toBe(false);
});

test("a header survives its 40 bytes", () => {
  const view = new DataView(new ArrayBuffer(40));
  const header = Object.assign(new IndexHeader(), {
    beginTimestamp: 1762255040133,
    endTimestamp: 1762255456115,
    beginPhyOffset: 2 ** 40,
    endPhyOffset: 2 ** 52 + 1,
    hashSlotCount: 7,
    indexCount: 9,
  });
  encodeHeader(view, header);
  expect(view.getBigInt64(24)).toBe(2n ** 52n + 1n);
  expect([view.getInt32(32), view.getInt32(36)]).toEqual([7, 9]);
  const read = new IndexHeader();
  expect(decodeHeader(view, sizes, read)).toBe("");
  expect(read).toEqual(header);
});

test("an implausible header is told, and never leads out of the file", () => {
  const decode = (change: (view: DataView) => void): [string, number] => {
    const view = new DataView(new ArrayBuffer(40));
    encodeHeader(view, Object.assign(new IndexHeader(), { endPhyOffset: 100, hashSlotCount: 1, indexCount: 3 }));
    change(view);
    const header = new IndexHeader();
    return [decodeHeader(view, sizes, header), header.indexCount];
  };
  expect(decode(() => {})).toEqual(["", 3]);
  expect(decode((view) => view.setInt32(36, 0))).toEqual(["1 used slots", 1]);
  expect(decode((view) => view.setInt32(36, 11))).toEqual(["index count 11 of at most 10", 10]);
  expect(decode((view) => view.setInt32(36, -5))).toEqual(["index count -5 of at most 10", 1]);
  expect(decode((view) => view.setInt32(24, 0x7fffffff))[0]).toContain("log offsets");
  expect(decode((view) => view.setInt32(16, 1))[0]).toContain("log offsets");
  expect(decode((view) => view.setInt32(0, -(2 ** 31)))[0]).toContain("timestamps");
  expect(decode((view) => view.setInt32(32, 4))[0]).toBe("4 used slots");
});

test("a file that cannot be made leaves nothing behind", () => {
  for (const writesLeft of [0, 1]) {
    const disk = new FailingDisk();
    disk.writesLeft = writesLeft;
    const file = new IndexFile(disk, "index", "20260102030405006", sizes);
    expect(() => file.create(undefined)).toThrow("Cannot write");
    expect(disk.list("index")).toEqual([]);
    expect(disk.openCount).toBe(0);
  }
});
