import { describe, expect, it } from "vitest";
import { FileCache } from "#src/consumequeue/file-cache.js";
import type { HandleSupply } from "#src/io/disk.js";
import { WatchedDisk } from "./queue-fixture.js";

describe("FileCache", () => {
  it("closes the longest unused file", () => {
    const watched = new WatchedDisk();
    const cache = new FileCache(watched.asDisk(), 2);
    cache.create("/a", 10);
    cache.create("/b", 10);
    cache.get("/a").writeAt(Buffer.from("x"), 0, 1, 0);
    cache.create("/c", 10);
    expect([cache.openCount, watched.openHandles, watched.openMax]).toEqual([2, 2, 3]);
    const stillOpen = cache.get("/a");
    expect(watched.openMax).toBe(3);
    cache.get("/b");
    expect(stillOpen.sizeBytes()).toBe(10);
    cache.get("/c");
    expect(() => stillOpen.sizeBytes()).toThrow("used after close");
    expect(watched.openHandles).toBe(2);
    cache.close();
    expect(watched.openHandles).toBe(0);
  });

  it("gives back a quarter of its handles, for good, where the process has none left", async () => {
    const watched = new WatchedDisk();
    watched.handlesMax = 8;
    const cache = new FileCache(watched.asDisk(), 10);
    for (const path of ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i"]) cache.create(path, 10);
    expect([cache.openCount, watched.openHandles]).toEqual([6, 6]);
    expect(["/c", "/d"].map((path) => cache.holds(path))).toEqual([false, true]);
    await cache.sync("/a");
    expect(watched.syncs).toEqual(["/a"]);
    watched.handlesMax = 0;
    cache.close();
    expect(() => cache.get("/a")).toThrow("As asked.");
  });

  it("opens nothing for a sync whose turn comes when the cache was closed for one that failed", async () => {
    const watched = new WatchedDisk();
    const disk = watched.asDisk();
    const cache = new FileCache(disk);
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    let goOn = (): void => {};
    const slow = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    for (const path of paths) {
      cache.create(path, 10).sync = () => (path === "/0" ? Promise.reject(new Error("As asked.")) : slow);
    }
    await expect(cache.syncAll(paths)).rejects.toThrow("As asked.");
    cache.close();
    goOn();
    await new Promise((resolve) => setImmediate(resolve));
    expect(watched.openHandles).toBe(0);
  });

  it("gives handles up while the process is short of them, and takes as many again once there are plenty", () => {
    const watched = new WatchedDisk();
    const disk = watched.asDisk();
    const cache = new FileCache(disk, 40);
    const paths = Array.from({ length: 50 }, (_, i) => `/${i}`);
    for (const path of paths) cache.create(path, 10);
    const openAfter = (supply: HandleSupply) => {
      disk.handleSupply = () => supply;
      cache.leaveRoom();
      for (const path of paths) cache.get(path);
      return cache.openCount;
    };
    expect((["fair", "plenty", "short", "fair", "short", "plenty", "fair"] as const).map(openAfter)).toEqual([
      40, 40, 30, 30, 22, 30, 30,
    ]);
    for (let i = 0; i < 10; i++) openAfter("short");
    expect(cache.openCount).toBe(16);
    for (let i = 0; i < 10; i++) openAfter("plenty");
    expect(cache.openCount).toBe(40);
    cache.close();
  });

  it("syncs one after another where handles are few, and waits where there is none", async () => {
    const watched = new WatchedDisk();
    watched.handlesMax = 3;
    const cache = new FileCache(watched.asDisk(), 20);
    const paths = Array.from({ length: 30 }, (_, i) => `/${i}`);
    for (const path of paths) cache.create(path, 10);
    await cache.syncAll(paths);
    expect(watched.syncs.sort()).toEqual([...paths].sort());
    cache.close();
    watched.handlesMax = 0;
    const syncing = cache.syncAll(["/1", "/2", "/gone", "/3"]);
    watched.handlesMax = 1;
    await syncing;
    expect(watched.syncs.slice(30).sort()).toEqual(["/1", "/2", "/3"]);
    cache.close();
  });

  it("does not close a file under a sync, and closes it afterwards", async () => {
    const watched = new WatchedDisk();
    const cache = new FileCache(watched.asDisk(), 1);
    cache.create("/a", 10);
    let release = (): void => {};
    watched.holdSyncs = new Promise((resolve) => {
      release = resolve;
    });
    const syncing = cache.sync("/a");
    cache.create("/b", 10);
    cache.forget("/a");
    expect(watched.openHandles).toBe(2);
    release();
    await syncing;
    expect(watched.syncs).toEqual(["/a"]);
    expect(watched.openHandles).toBe(1);
  });

  it("syncs few files at a time, whatever is asked at once", async () => {
    const watched = new WatchedDisk();
    const cache = new FileCache(watched.asDisk(), 20);
    for (let i = 0; i < 100; i++) cache.create(`/${i}`, 10);
    await Promise.all(Array.from({ length: 100 }, (_, i) => cache.sync(`/${i}`)));
    expect(watched.syncs.sort()).toEqual(Array.from({ length: 100 }, (_, i) => `/${i}`).sort());
    expect([cache.openCount, watched.openMax]).toEqual([20, 21]);
    await cache.sync("/deleted");
    expect(watched.syncs).toHaveLength(100);
  });

  it("syncs the device once for many files, and each file where that is not to be had, fails, or is not worth it", async () => {
    const paths = Array.from({ length: 200 }, (_, i) => `/${i}`);
    for (const [answer, count] of [
      [true, 200],
      [false, 200],
      [undefined, 200],
      [true, 20],
    ] as const) {
      const watched = new WatchedDisk();
      const disk = watched.asDisk();
      const calls: string[] = [];
      disk.openDeviceSync = (path) => {
        calls.push(`open ${path}`);
        if (answer === undefined) return undefined;
        return { sync: async () => calls.push("sync") > 0 && answer, close: () => calls.push("close") };
      };
      const cache = new FileCache(disk, 20);
      for (const path of paths) cache.create(path, 10);
      expect(calls).toEqual(["open /"]);
      const asked = paths.slice(0, count);
      await cache.syncAll(asked);
      cache.close();
      const isDevice = answer !== undefined && count === 200;
      expect(calls.slice(1)).toEqual([isDevice ? "sync" : [], answer === undefined ? [] : "close"].flat());
      expect(watched.syncs.sort()).toEqual(answer === true && count === 200 ? [] : asked.sort());
    }
  });

  it("makes files of the whole length, over the remains of an attempt", () => {
    const watched = new WatchedDisk();
    const disk = watched.asDisk();
    disk.writeAtomically("/a", "old bytes");
    new FileCache(disk, 1).create("/a", 20);
    expect(disk.readFile("/a")).toEqual(Buffer.alloc(20));
  });

  it("tells a missing file from an unreadable one", () => {
    const cache = new FileCache(new WatchedDisk().asDisk(), 1);
    expect(cache.find("/none")).toBeUndefined();
    expect(() => cache.get("/none")).toThrow(expect.objectContaining({ code: "COMETMQ_IO" }));
  });
});
