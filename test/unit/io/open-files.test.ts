/** Whether the process has file handles left: counted, as the kernel does, and asked of a process that has few. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { supplyOf } from "#src/io/open-files.js";

test("a sixteenth of the limit is to be left, and no fewer than 16", () => {
  expect([15, 16, 32, 33].map((left) => supplyOf(75, left))).toEqual(["short", "fair", "fair", "plenty"]);
  expect([999, 1000, 2000, 2001].map((left) => supplyOf(16_000, left))).toEqual(["short", "fair", "fair", "plenty"]);
  expect(supplyOf(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 100)).toBe("plenty");
});

const PROGRAM = `
import { openSync } from "node:fs";
import { handleSupply } from ${JSON.stringify(import.meta.resolve("#src/io/open-files.js"))};
const said = [];
try {
  for (;;) {
    const supply = handleSupply();
    if (supply !== said.at(-1)) said.push(supply);
    openSync("/dev/null");
  }
} catch {
  said.push(handleSupply());
}
console.log(said.join());
`;

test.skipIf(process.platform !== "linux")("a process that opens more and more becomes short of handles", () => {
  const node = [process.execPath, "--input-type=module", "--eval", PROGRAM];
  const { stdout, stderr } = spawnSync("sh", ["-c", 'ulimit -n 100 && exec "$@"', "sh", ...node], { encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe("plenty,fair,short,short");
});
