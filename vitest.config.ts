import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { defineConfig } from "vitest/config";

const changedMs = (file: string) => statSync(new URL(file, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;
// Examples and docs use the package as its users do: what was compiled by hand has to be in the bundles, too.
if (changedMs("dist/library/cometmq.js") < changedMs("dist/mod.js"))
  execFileSync(process.execPath, ["scripts/bundle.mjs"], { cwd: import.meta.dirname, stdio: "inherit" });

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    env: { COMETMQ_VERIFY: "1" },
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
