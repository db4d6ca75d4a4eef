/** The verbs that change a store: repair and import. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { findStore } from "#src/cli/store-facts.js";
import { FileDisk } from "#src/io/file-disk.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { planRebuild } from "#src/recovery/repair/plan.js";
import { repairStore } from "#src/recovery/repair/repair.js";
import { COMMAND } from "../server/command.js";
import { extractStore } from "../golden/golden-store.js";
import { cometmq, fingerprint, jsonLines, store, unread } from "./store-process.js";

const scratch = mkdtempSync(join(tmpdir(), "cometmq-cli-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe("repair", () => {
  test("says what it would do, and does it when told", async () => {
    const { dir } = extractStore("corrupt-old");
    const before = fingerprint(dir);
    const planFile = join(scratch, "plan.json");
    const planned = await store("repair", dir, "--plan", planFile);
    expect(planned.status).toBe(1);
    expect(planned.out).toContain("put a filler in place of 273 bytes at 1648");
    expect(planned.out).toContain("rebuild from the log: OldA 1");
    expect(planned.out).toContain("Nothing was changed.");
    expect(fingerprint(dir)).toBe(before);
    const { actions } = JSON.parse(readFileSync(planFile, "utf8"));
    expect(actions.map(({ kind }: { kind: string }) => kind)).toEqual(["fill", "rebuild-queues", "write-checkpoint"]);

    const done = await store("repair", dir, "--yes");
    expect(done.status).toBe(0);
    expect(done.out).toContain("verified: no errors, no warnings");
    const [repair] = readdirSync(join(dir, "store", "lost+found"));
    const lost = join(dir, "store", "lost+found", repair!);
    expect(done.out).toContain(`what was taken out is in ${lost}`);
    expect(readdirSync(join(lost, "commitlog"))).toEqual(["00000000000000001648-273"]);
    expect(JSON.parse(readFileSync(join(lost, "plan.json"), "utf8")).actions).toHaveLength(3);
    expect((await store("verify", dir)).status).toBe(0);
    expect((await store("repair", dir, "--yes")).out).toContain("nothing to repair");
  });

  test("as JSON lines", async () => {
    const { dir } = extractStore("cq-lost-deep");
    const { status, out } = await store("repair", dir, "--yes", "--json");
    expect(status).toBe(0);
    const lines = jsonLines(out);
    expect(lines.map(({ type }) => type)).toEqual(["action", "action", "action", "repaired", "verified"]);
    expect(lines[3]).toMatchObject({ rebuilt: { recordCount: 360, queueCount: 4, queueEntryCount: 360 } });
    expect(lines[4]).toMatchObject({ findingCounts: { error: 0, warning: 0 } });
  });

  test("one queue, or the index, when asked", async () => {
    const { dir } = extractStore("cq-lost");
    expect((await store("repair", dir, "--queue", "LostA", "1", "--yes")).status).toBe(1);
    const missing = async () =>
      jsonLines((await store("verify", dir, "--json")).out)
        .filter(({ severity }) => severity === "error" || severity === "warning")
        .map(({ code }) => code);
    expect((await missing()).toSorted()).toEqual(["index.missing", ...new Array<string>(5).fill("queue.missing")]);
    expect((await store("repair", dir, "--queues", "--index", "--yes")).status).toBe(0);
    expect(await missing()).toEqual([]);
  });

  describe("interrupted", () => {
    /** `signals` times Ctrl-C in the middle of the rebuild. */
    const repairWith = (dir: string, signals: number) => {
      const preload = `const write = process.stdout.write.bind(process.stdout);
        process.stdout.write = (text, ...rest) => {
          if (text.startsWith("doing: rebuild from")) for (let i = 0; i < ${signals}; i++) process.kill(process.pid, "SIGINT");
          return write(text, ...rest);
        };`;
      const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` };
      return cometmq(["store", "repair", dir, "--yes"], undefined, env);
    };

    test("once, it comes to its end", async () => {
      const { dir } = extractStore("cq-lost-deep");
      const { status, out, err } = await repairWith(dir, 1);
      expect(err).toBe(
        "cometmq: the repair goes on to its end; once more ends it at once, and another repair does the rest\n",
      );
      expect(out).toContain("verified: no errors, no warnings");
      expect(status).toBe(0);
      expect((await store("verify", dir)).status).toBe(0);
    });

    test("signals are heard all along the walk over the log", async () => {
      const { dir } = extractStore("cq-lost-deep");
      const { facts } = findStore(new ReadOnlyDisk(), dir, undefined);
      let ms = 0;
      const clock = { ...systemClock, monotonicMs: () => (ms += 100) };
      let turns = 0;
      let timer: NodeJS.Immediate;
      const count = () => {
        turns++;
        timer = setImmediate(count);
      };
      timer = setImmediate(count);
      const plan = planRebuild("all", false);
      await repairStore({ disk: new FileDisk("file"), clock, facts, segmentBytes: facts.segmentBytes!, plan });
      clearImmediate(timer);
      expect(turns).toBeGreaterThan(360 / 64);
    });

    test("twice, it ends at once, and another one does the rest", async () => {
      const { dir } = extractStore("cq-lost-deep");
      const { status, out } = await repairWith(dir, 2);
      expect(status).toBe(130);
      expect(out).not.toContain("verified");
      expect((await store("verify", dir)).status).toBe(1);
      expect((await store("repair", dir, "--yes")).out).toContain("verified: no errors, no warnings");
      expect((await store("verify", dir)).status).toBe(0);
    });
  });

  test("what it cannot mend it tells, and leaves alone", async () => {
    const { dir } = extractStore("index-lost");
    const config = join(dir, "store", "config", "topics.json");
    writeFileSync(config, "{");
    const { status, out } = await store("repair", dir, "--yes");
    expect(status).toBe(1);
    expect(out).toContain("not mended here:");
    expect(out).toContain("config/topics.json: the text is no JSON");
    expect(readFileSync(config, "utf8")).toBe("{");
  });
});

interface Line {
  phyOffset: number;
  msgId: string;
  queueOffset: number;
  storeTime: number;
}

/** What a message is, without where and when it lay. */
function contents(text: string): object[] {
  return jsonLines<Line>(text).map(
    ({ phyOffset: _, msgId: _id, queueOffset: _offset, storeTime: _time, ...content }) => content,
  );
}

describe("import", () => {
  test.each(["clean", "multi-segment", "broker", "prop-crc", "cq-ext"])("export, import, export: %s", async (name) => {
    const { dir } = extractStore(name);
    const conf = join(dir, "broker.conf");
    const target = join(scratch, name);
    const exported = join(scratch, `${name}.jsonl`);
    expect((await store("export", dir, "--out", exported)).status).toBe(0);
    const imported = await store("import", target, exported, "--conf", conf, "--json");
    const first = readFileSync(exported, "utf8");
    const count = jsonLines(first).length;
    expect(imported.err).toBe("");
    expect(jsonLines(imported.out)).toMatchObject([{ type: "imported", messageCount: count, refusedCount: 0 }]);
    expect(imported.status).toBe(0);
    const second = (await store("export", target, "--conf", conf)).out;
    expect(contents(second)).toEqual(contents(first));
    expect(count).toBeGreaterThan(100);
    const { out } = await store("verify", target, "--conf", conf, "--json");
    // CometMQ writes no whole-record CRC, so a broker that insists on it would not take these.
    const codes = jsonLines(out).filter(({ severity }) => severity === "error" || severity === "warning");
    expect(new Set(codes.map(({ code }) => code))).toEqual(new Set(name === "prop-crc" ? ["log.no-crc"] : []));
  });

  test("from stdin, into a store that exists, with the times the messages had", async () => {
    const { dir } = extractStore("multi-segment");
    const lines = (await store("export", dir, "--limit", "200")).out;
    const target = join(scratch, "kept");
    const conf = join(dir, "broker.conf");
    const importing = (text: string) => cometmq(["store", "import", target, "--keep-store-time", "--conf", conf], text);
    const [half, rest] = [lines.split("\n").slice(0, 100).join("\n"), lines.split("\n").slice(100).join("\n")];
    expect((await importing(half)).out).toMatch(/^100 messages, .* in \d+ queues$/m);
    expect((await importing(rest)).status).toBe(0);
    const again = jsonLines<Line>((await store("export", target, "--conf", conf)).out);
    expect(again.map(({ storeTime }) => storeTime)).toEqual(jsonLines<Line>(lines).map(({ storeTime }) => storeTime));
    expect(again.map(({ queueOffset }) => queueOffset)).toEqual(
      jsonLines<Line>(lines).map(({ queueOffset }) => queueOffset),
    );
  });

  test("lines that are no message are told by number, the others stored", async () => {
    const target = join(scratch, "mixed");
    const conf = join(scratch, "small.conf");
    writeFileSync(conf, "mappedFileSizeCommitLog=65536\nmaxHashSlotNum=50\nmaxIndexNum=100\n");
    const lines = [
      '{"topic":"T","queueId":0,"body":"one"}',
      "not json",
      '{"queueId":0}',
      '{"topic":"T","queueId":-1}',
      '{"topic":"../../x","queueId":0}',
      '{"topic":"T","queueId":0,"bodyBase64":"%%%"}',
      '{"topic":"T","queueId":0,"properties":{"A":1}}',
      '{"topic":"T","queueId":0,"properties":{"A":"x\\u0002y"}}',
      `{"topic":"T","queueId":0,"body":"${"x".repeat(70_000)}"}`,
      `{"topic":"T","queueId":0,"properties":{"A":"${"x".repeat(40_000)}"}}`,
      "",
      '{"topic":"T","queueId":0,"body":"two","properties":{"__proto__":"p","7":"seven","A":"a"}}',
    ];
    const { status, out, err } = await cometmq(["store", "import", target, "--conf", conf], lines.join("\n"));
    expect(status).toBe(1);
    expect(out).toMatch(/^2 messages, /m);
    expect(out).toMatch(/^9 lines were refused$/m);
    expect(err.match(/line \d+/g)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10].map((line) => `line ${line}`));
    expect(existsSync(join(scratch, "x"))).toBe(false);
    const stored = jsonLines((await store("export", target, "--conf", conf)).out);
    expect(stored).toMatchObject([{ body: "one" }, { body: "two" }]);
    expect(Object.keys(stored[1]!.properties as object).toSorted()).toEqual(["7", "A", "__proto__"]);
  });
});

test("with nobody reading what they say, what changes a store goes on to its end", async () => {
  const { dir } = extractStore("cq-lost-deep");
  expect(await unread(["store", "repair", dir, "--yes"])).toBe(0);
  expect((await store("verify", dir)).status).toBe(0);
  const target = mkdtempSync(join(tmpdir(), "cometmq-import-"));
  const lines = join(target, "lines.jsonl");
  const directory = join(target, "store");
  await store("export", dir, "--out", lines);
  expect(await unread(["store", "import", directory, lines])).toBe(0);
  expect(existsSync(join(directory, "abort"))).toBe(false);
  expect((await store("verify", directory)).status).toBe(0);
  rmSync(target, { recursive: true });
});

test("Ctrl-C while lines are imported leaves a closed store with those that came before", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-import-"));
  const line = (body: string): string => `${JSON.stringify({ topic: "T", queueId: 0, body })}\n`;
  const child = spawn(process.execPath, [COMMAND, "store", "import", directory], { stdio: ["pipe", "pipe", "pipe"] });
  const closed = once(child, "close");
  child.stdin.write(line("one") + line("two"));
  const log = join(directory, "commitlog", "0".repeat(20));
  const begin = Buffer.alloc(4096);
  const isThere = (): boolean => {
    if (!existsSync(log)) return false;
    const fd = openSync(log, "r");
    readSync(fd, begin, 0, begin.length, 0);
    closeSync(fd);
    return begin.includes("two");
  };
  while (!isThere() && child.exitCode === null) await new Promise((done) => setTimeout(done, 20));
  child.kill("SIGINT");
  expect((await closed)[0]).toBe(130);
  expect(existsSync(join(directory, "abort"))).toBe(false);
  const { out } = await store("export", directory, "--json");
  expect(jsonLines(out).map(({ body }) => body)).toEqual(["one", "two"]);
  expect((await store("verify", directory)).status).toBe(0);
  rmSync(directory, { recursive: true });
});
