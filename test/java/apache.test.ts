/** The judge itself is judged first: it must find in a golden store what was recorded of it, and refuse a broken one. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { apacheDump, apacheReopen, describeWithApache } from "../golden/apache.js";

const STORES = path.join(import.meta.dirname, "..", "golden", "data", "stores");

describeWithApache("Apache's store as a judge", () => {
  let scratch: string;

  beforeAll(() => {
    scratch = mkdtempSync(path.join(tmpdir(), "cometmq-judge-"));
    execFileSync("tar", ["-xzf", path.join(STORES, "crashed.tar.gz"), "-C", scratch]);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  test("dumps a crashed store exactly as recorded", async () => {
    const expected = readFileSync(path.join(STORES, "crashed.expected.jsonl"), "utf8").trimEnd().split("\n");
    expect(await apacheDump(scratch)).toEqual(expected);
  });

  test("appends to a store and reads it back", async () => {
    const lines = await apacheReopen(scratch, ["--append", "7", "--abort"]);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ stage: "ok", appended: 7 });
  });

  test("refuses a store with a segment of the wrong size", async () => {
    const segment = path.join(scratch, "store", "commitlog", "00000000000000000000");
    truncateSync(segment, readFileSync(segment).length - 1);
    await expect(apacheReopen(scratch, ["--conf", path.join(scratch, "broker.conf")])).rejects.toThrow("load failed");
  });
});
