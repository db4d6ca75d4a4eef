/**
 * Stores that Apache's own classes write at the time of the test, with sizes and contents that no golden store has: what
 * CometMQ makes of them with `--recovery apache` is what Apache makes of them, line by line. Takes minutes, so it is run by
 * `npm run test:golden`, which names the seeds in COMETMQ_GOLDEN_SEEDS.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { apacheDump, apacheGenerate, describeWithApache } from "./apache.js";

const COMMAND = path.join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const SEEDS = (process.env.COMETMQ_GOLDEN_SEEDS ?? "").split(",").filter(Boolean).map(Number);
if (SEEDS.length === 0) process.stderr.write("skipped: stores of other seeds: npm run test:golden has them\n");

async function cometDump(directory: string): Promise<string[]> {
  const command = [COMMAND, "store", "dump", "--json", "--recovery", "apache", directory];
  const { stdout } = await promisify(execFile)(process.execPath, command, { maxBuffer: 1 << 28 });
  return stdout.trimEnd().split("\n");
}

describeWithApache("stores of other seeds", () => {
  test.skipIf(SEEDS.length === 0).each(SEEDS.length === 0 ? [0] : SEEDS)(
    "seed %i",
    async (seed) => {
      const scratch = await mkdtemp(path.join(tmpdir(), "cometmq-seed-"));
      try {
        await apacheGenerate(scratch, seed);
        const names = (await readdir(scratch)).sort();
        expect(names.length).toBeGreaterThan(15);
        for (const name of names) {
          const directory = path.join(scratch, name);
          const [apache, comet] = await Promise.all([apacheDump(directory), cometDump(directory)]);
          expect(comet.length, `${name} of COMETMQ_GOLDEN_SEEDS=${seed}`).toBe(apache.length);
          const differing = apache.findIndex((line, i) => line !== comet[i]);
          expect([name, comet[differing]], `line ${differing + 1}`).toEqual([name, apache[differing]]);
        }
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    },
    600_000,
  );
});
