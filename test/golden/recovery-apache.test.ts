/**
 * Recovery Apache's way, held against Apache itself on stores that no recorded answers are of: golden ones that are hurt
 * further, or opened with other options.
 */
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { parseProperties } from "#src/server/protocol/java-properties.js";
import { canonicalJson } from "#src/store/dump/line.js";
import { StoreDump } from "#src/store/dump/store-dump.js";
import { apacheDump, describeWithApache } from "./apache.js";
import { extractStore } from "./golden-store.js";

type Change = (dir: string) => void;

const lose =
  (...names: string[]): Change =>
  (dir) => {
    for (const name of names) rmSync(join(dir, "store", name), { recursive: true });
  };
const abort: Change = (dir) => writeFileSync(join(dir, "store", "abort"), "1");
const set =
  (...lines: string[]): Change =>
  (dir) =>
    appendFileSync(join(dir, "broker.conf"), `\n${lines.join("\n")}\n`);
const loseLastSegment: Change = (dir) => {
  const directory = join(dir, "store", "commitlog");
  rmSync(join(directory, readdirSync(directory).sort().at(-1)!));
};

const CASES: [string, string, Change[]][] = [
  [
    "all queues lost, three segments read",
    "clean",
    [lose("consumequeue", "batchconsumequeue"), set("commitLogRecoverMaxNum=3")],
  ],
  ["not closed, no checkpoint", "clean", [abort, lose("checkpoint")]],
  [
    "light message queues lost, and switched off",
    "clean",
    [lose("consumequeue", "index"), set("enableMultiDispatch=false")],
  ],
  ["last segment lost", "multi-segment", [loseLastSegment]],
  ["closed after all, with a half record at the end", "crashed", [lose("abort")]],
  ["not closed, the index to be safe", "crashed", [set("messageIndexSafe=true")]],
  ["not closed, a damaged record in the first segment", "corrupt-old", [abort]],
  ["property CRCs not asked for", "prop-crc", [abort, set("forceVerifyPropCRC=false")]],
];

describeWithApache("recovery Apache's way", () => {
  // Apache's store takes seconds to close.
  test.concurrent.each(CASES)("%s (%s)", async (_what, name, changes) => {
    const { dir } = extractStore(name);
    for (const change of changes) change(dir);
    const conf = parseProperties(readFileSync(join(dir, "broker.conf"), "utf8"));
    const dump = await StoreDump.open({
      disk: new FileDisk(),
      directory: join(dir, "store"),
      conf,
      recovery: "apache",
    });
    const lines = [...dump.lines()].map(canonicalJson);
    await dump.close();
    expect(lines).toEqual(await apacheDump(dir));
  });
});
