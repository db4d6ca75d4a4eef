/** `cometmq store dump` as people run it. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { expectedText, extractStore } from "./golden-store.js";
import { treeState } from "./tree-state.js";

const COMMAND = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const scratch = mkdtempSync(join(tmpdir(), "cometmq-dump-command-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [COMMAND, "store", "dump", ...args], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
}

describe("store dump", () => {
  test("prints the lines of a store whose files nobody may write to", () => {
    const { dir } = extractStore("clean");
    execFileSync("chmod", ["-R", "a-w", dir]);
    const before = treeState(dir);
    const { status, stdout, stderr } = run("--json", dir);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n").filter((line) => line !== "")).toEqual(expectedText("clean"));
    expect(treeState(dir)).toEqual(before);
    execFileSync("chmod", ["-R", "u+w", dir]);
  });

  test("takes the store itself, its broker.conf from elsewhere, and Apache's way", () => {
    const { dir } = extractStore("cq-behind");
    const conf = join(scratch, "sizes.conf");
    renameSync(join(dir, "broker.conf"), conf);
    const { stdout } = run(join(dir, "store"), "--json", "--conf", conf, "--recovery", "apache");
    expect(stdout.trimEnd().split("\n")).toEqual(expectedText("cq-behind"));
  });

  test("sums a store up for people", () => {
    const { dir } = extractStore("head-lost");
    const { status, stdout } = run(dir);
    expect(status).toBe(0);
    const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(["last exit", "closed"]);
    expect(rows).toContainEqual(["log offsets", "98,304 to 175,505"]);
    expect(rows).toContainEqual(["records", "195 and 1 blanks"]);
    const headA = rows.find(([topic, queueId]) => topic === "HeadA" && queueId === "0")!;
    expect(headA.slice(0, 7)).toEqual(["HeadA", "0", "0", "104", "40", "64", "0"]);
  });

  test("refuses what is no store, a conf that is not there, and a size that is none", () => {
    const { dir } = extractStore("empty");
    const refusals = [
      run(scratch),
      run(dir, "--conf", join(scratch, "missing.conf")),
      run(dir, "--recovery", "hopeful"),
      run(join(dir, "store", "checkpoint")),
    ];
    expect(refusals.map(({ status, stdout }) => [status, stdout])).toEqual(refusals.map(() => [2, ""]));
    const reasons = ["COMETMQ_NOT_A_STORE", "COMETMQ_CONFIG", "hopeful", "COMETMQ_NOT_A_STORE"];
    for (const [i, reason] of reasons.entries()) expect(refusals[i]!.stderr).toContain(reason);
  });

  test("a reader that has seen enough ends it without a word", () => {
    const { dir } = extractStore("multi-segment");
    const command = `"${process.execPath}" "${COMMAND}" store dump --json "${dir}" | head -1`;
    const { stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(stdout).toBe(`${expectedText("multi-segment")[0]}\n`);
    expect(stderr).toBe("");
  });
});
