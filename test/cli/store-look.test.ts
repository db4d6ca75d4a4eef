/** The verbs that only look: inspect, verify, export. What they print, how they end, and that they change nothing. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { extractStore } from "../golden/golden-store.js";
import { COMMAND, cometmq, fingerprint, jsonLines, store, unread } from "./store-process.js";

const scratch = mkdtempSync(join(tmpdir(), "cometmq-cli-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const middle = extractStore("corrupt-middle").dir;
const clean = extractStore("clean").dir;
const multi = extractStore("multi-segment").dir;

test("nothing below the directory changes, whatever is asked", async () => {
  const before = fingerprint(middle);
  for (const args of [
    ["inspect"],
    ["inspect", "--count", "--picture", "--json", "--svg", join(scratch, "unchanged.svg")],
    ["verify", "--digests", join(scratch, "unchanged.digests")],
    ["export", "--out", join(scratch, "unchanged.jsonl")],
    ["repair"],
    ["repair", "--plan", join(scratch, "unchanged.plan")],
  ]) {
    const [verb, ...flags] = args as [string, ...string[]];
    expect((await store(verb, middle, ...flags)).err).not.toContain("Error");
    expect(fingerprint(middle), args.join(" ")).toBe(before);
  }
});

test("inspect: tables without lines where the output is piped", async () => {
  const { status, out, err } = await store("inspect", join(multi, "store"));
  expect({ status, err }).toEqual({ status: 0, err: "" });
  expect(out).toMatch(/^used +608\.7 KiB in 22 segments$/m);
  expect(out).toMatch(/^records +about 1,2\d\d$/m);
  expect(out).toMatch(/^last exit +closed$/m);
  expect(out).toMatch(/^SEGMENT +USED +RECORDS, ABOUT +FIRST STORED$/m);
  expect(out).toMatch(/^00000000000000602112 +20\.7 KiB +\d+ +2025-11-04 \d\d:\d\d:\d\d\.\d{3}$/m);
  expect(out).toMatch(/^MultiA +0 +0 +148 +[\d,]+ +2025-11-04/m);
  expect(out).not.toMatch(/[│┌]/);
  expect(out).not.toContain("\u001b");
});

test("inspect --count: damage is found, drawn, and an exit status of 1", async () => {
  const svg = join(scratch, "middle.svg");
  const { status, out } = await store("inspect", middle, "--count", "--picture", "--svg", svg);
  expect(status).toBe(1);
  expect(out).toMatch(/^records +399$/m);
  expect(out).toMatch(/^damaged +432 bytes in 1 stretch$/m);
  expect(out).toMatch(/^records +█+╳█*░+$/m);
  expect(out).toMatch(/^MiddleA 0 +├━+●$/m);
  const picture = readFileSync(svg, "utf8");
  expect(picture).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*>\n/);
  expect(picture).toContain("<title>damaged: 152,564 to 152,996</title>");
  expect(picture.match(/<rect/g)!.length).toBeGreaterThan(8);
  expect(picture.trimEnd().endsWith("</svg>")).toBe(true);
});

test("inspect --json: one object a line", async () => {
  const { status, out } = await store("inspect", middle, "--json", "--count");
  expect(status).toBe(1);
  const lines = jsonLines(out);
  const ofType = (type: string) => lines.filter((line) => line.type === type);
  expect(ofType("store")).toMatchObject([
    { segmentBytes: 49_152, endOffset: 157_138, recordCount: 399, lastExit: "closed" },
  ]);
  expect(ofType("segment")).toHaveLength(4);
  expect(ofType("damaged")).toEqual([{ type: "damaged", from: 152_564, to: 152_996 }]);
  expect(ofType("queue")).toContainEqual(
    expect.objectContaining({ topic: "MiddleB", queueId: 0, minOffset: 0, maxOffset: 62, endPhyOffset: 152_996 }),
  );
  expect(ofType("index")).toHaveLength(3);
  expect(ofType("checkpoint")).toMatchObject([{ verdict: "ok" }]);
});

test("verify: findings one by one, then a summary", async () => {
  const fine = await store("verify", clean);
  expect(fine.status).toBe(0);
  expect(fine.out).toMatch(/^sound records +841, /m);
  expect(fine.out).toMatch(/^findings +0 errors, 0 warnings, 1 notes$/m);

  const { status, out } = await store("verify", middle, "--info");
  expect(status).toBe(1);
  expect(out).toMatch(/^error {3}commitlog\/00000000000000147456 at byte 5,108: the body is not the one/m);
  expect(out).toContain("`cometmq store repair` keeps the bytes in lost+found");
  expect(out).toMatch(/^info {4}compaction: /m);

  const json = jsonLines((await store("verify", middle, "--json")).out);
  expect(json[0]).toMatchObject({
    type: "finding",
    code: "log.crc",
    severity: "error",
    phyOffset: 152_564,
    position: 5108,
  });
  expect(json.at(-1)).toMatchObject({ type: "summary", recordCount: 399, damaged: [{ from: 152_564, to: 152_996 }] });
});

test("verify: digests are written, hold, and stop holding", async () => {
  const { dir } = extractStore("multi-segment");
  const digests = join(scratch, "multi.digests");
  expect((await store("verify", dir, "--digests", digests)).status).toBe(0);
  const lines = readFileSync(digests, "utf8").trimEnd().split("\n");
  expect(lines).toHaveLength(22);
  expect(lines[0]).toMatch(/^[0-9a-f]{16} {2}28672 {2}00000000000000000000$/);
  expect(lines.at(-1)).toMatch(/^[0-9a-f]{16} {2}21190 {2}00000000000000602112$/);
  expect((await store("verify", dir, "--check", digests)).status).toBe(0);

  // A time that no CRC covers.
  const segment = join(dir, "store", "commitlog", "00000000000000057344");
  const bytes = readFileSync(segment);
  bytes[47]! ^= 1;
  writeFileSync(segment, bytes);
  const { status, out } = await store("verify", dir, "--check", digests);
  expect(status).toBe(1);
  expect(out).toMatch(/^error {3}commitlog\/00000000000000057344: the first 28,672 bytes are not those/m);
  expect(out).toMatch(/^digests that differ +1$/m);
});

test("export: filters", async () => {
  interface Line {
    topic: string;
    queueId: number;
    queueOffset: number;
    storeTime: number;
    keys?: string;
    body?: string;
    bodyBase64?: string;
  }
  const lines = async (...flags: string[]) => jsonLines<Line>((await store("export", multi, ...flags)).out);
  const all = await lines();
  expect(all).toHaveLength(1200);
  const queue = await lines("--topic", "MultiA", "--queue", "2");
  expect(queue.map(({ queueOffset }) => queueOffset)).toEqual([...queue.keys()]);
  expect(queue.length).toBe(all.filter(({ topic, queueId }) => topic === "MultiA" && queueId === 2).length);
  const part = await lines("--topic", "MultiA", "--queue", "2", "--from", "10", "--to", "20");
  expect(part).toEqual(queue.slice(10, 20));
  const { storeTime } = all[600]!;
  expect(await lines("--from", String(storeTime))).toEqual(all.filter((line) => line.storeTime >= storeTime));
  expect(await lines("--to", new Date(storeTime).toISOString())).toEqual(
    all.filter((line) => line.storeTime < storeTime),
  );
  const withKey = all.find(({ keys }) => keys !== undefined && !keys.includes(" "))!;
  const found = await lines("--key", withKey.keys!);
  expect(found.length).toBeGreaterThan(0);
  expect(found.every(({ keys }) => keys!.split(" ").includes(withKey.keys!))).toBe(true);
  expect(await lines("--limit", "3", "--body", "none")).toEqual(
    all.slice(0, 3).map(({ body: _, bodyBase64: _bytes, ...line }) => line),
  );
});

test("export passes over damage, and says so", async () => {
  const { status, out, err } = await store("export", middle);
  expect(status).toBe(1);
  expect(jsonLines(out)).toHaveLength(399);
  expect(err).toContain("passed over 1 damaged stretch of 432 bytes");
});

test("export after a power cut ends where the opened store's log would, and says what is left out", async () => {
  const dir = join(extractStore("clean").dir, "store");
  const whole = jsonLines<{ phyOffset: number }>((await store("export", dir)).out);
  const damagedAt = whole.at(-4)!.phyOffset;
  const log = join(dir, "commitlog");
  const segment = readdirSync(log).findLast((name) => Number(name) <= damagedAt)!;
  const bytes = readFileSync(join(log, segment));
  // The magic code of a record.
  bytes.fill(0xff, damagedAt - Number(segment) + 4, damagedAt - Number(segment) + 8);
  writeFileSync(join(log, segment), bytes);
  writeFileSync(join(dir, "abort"), "1\nan earlier run of the system\n");
  const { status, out, err } = await store("export", dir);
  expect(status).toBe(1);
  expect(jsonLines(out)).toEqual(whole.slice(0, -4));
  const end = `behind the log's end at ${damagedAt} (what a system that stopped may have written in part), with 3 whole`;
  expect(err).toContain(end);
  expect(err).not.toContain("passed over");
});

test("piped into head, they end with it, without a word", async () => {
  for (const verb of [["export"], ["dump"], ["dump", "--json"], ["inspect", "--count"], ["verify"]]) {
    const args = ["store", verb[0]!, multi, ...verb.slice(1)];
    const command = '{ "$@"; echo $? >&2; } | head -1';
    const head = spawnSync("/bin/sh", ["-c", command, "sh", process.execPath, COMMAND, ...args], { encoding: "utf8" });
    expect([verb, head.stdout.split("\n").length, head.stderr]).toEqual([verb, 2, "0\n"]);
    expect([verb, await unread(args)]).toEqual([verb, 0]);
  }
});

test("what cannot run ends with 2 and one line", async () => {
  for (const args of [
    ["store", "inspect", join(scratch, "nowhere")],
    ["store", "verify", scratch],
    ["store", "import", "", "/dev/null"],
    ["store", "verify", clean, "--check", join(scratch, "nowhere")],
    ["store", "inspect", clean, "--conf", join(scratch, "nowhere")],
    ["store", "export", clean, "--out", join(clean, "broker.conf")],
    ["store", "export", clean, "--from", "yesterday"],
    ["store", "verify"],
    ["store", "inspect", clean, "--nonsense"],
    ["store", "repair", clean, "--queue", "Topic"],
  ]) {
    const { status, out, err } = await cometmq(args);
    expect(status, args.join(" ")).toBe(2);
    expect(out).toBe("");
    expect(err).not.toContain("    at ");
    expect(err).not.toBe("");
  }
});

test("a store in use is not judged, but may be looked at", async () => {
  const { dir } = extractStore("index-lost");
  const lockPath = join(dir, "store", "lock");
  writeFileSync(lockPath, "lock");
  const lock = new FileDisk("file").lock(lockPath);
  try {
    const verify = await store("verify", dir);
    expect(verify.status).toBe(2);
    expect(verify.err).toContain("in use by another process");
    expect((await store("repair", dir, "--yes")).status).toBe(2);
    const inspect = await store("inspect", dir);
    expect(inspect.status).toBe(0);
    expect(inspect.err).toContain("the store is in use");
  } finally {
    lock.release();
  }
});

test("names of a hostile store do nothing to the terminal", async () => {
  const { dir } = extractStore("empty");
  writeFileSync(join(dir, "store", "evil\u001b[31m"), "x");
  const { out } = await store("verify", dir, "--info");
  expect(out).toContain("evil\\u001b[31m");
  expect(out).not.toContain("\u001b");
});

test("a directory that holds a config alone is no store, unless its broker.conf names a log elsewhere", async () => {
  const dir = join(scratch, "config-only");
  mkdirSync(join(dir, "config"), { recursive: true });
  writeFileSync(join(dir, "config", "topics.json"), "{}");
  const { status, out, err } = await store("verify", dir);
  expect([status, out]).toEqual([2, ""]);
  expect(err).toMatch(/config-only holds a config and no store: none of commitlog, .*\(COMETMQ_NOT_A_STORE\)\n$/);
  writeFileSync(join(dir, "broker.conf"), `storePathCommitLog=${join(clean, "store", "commitlog")}\n`);
  expect((await store("inspect", dir)).out).toMatch(/^used +[1-9]/m);
});

test("files that could not be written at the end are refused at the beginning", async () => {
  const nowhere = join(scratch, "none", "file");
  const before = readdirSync(scratch);
  const runs = [
    ["verify", "--digests", nowhere],
    ["repair", "--plan", scratch],
    ["inspect", "--svg", "/dev/null"],
  ].map(async ([verb, flag, path]) => ({ flag, path, ...(await store(verb!, middle, flag!, path!)) }));
  for (const { flag, path, status, out, err } of await Promise.all(runs)) {
    const why = path === nowhere ? "there is no directory" : "is (a directory|no regular file)";
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(new RegExp(`^cometmq: ${flag}: .*${why}.*\\(COMETMQ_CONFIG\\)\n$`));
  }
  expect(readdirSync(scratch)).toEqual(before);
});
