import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { divide } from "./test/own-process.js";

const changedMs = (file: string) => statSync(new URL(file, import.meta.url), { throwIfNoEntry: false })?.mtimeMs ?? 0;
// Examples and docs use the package as its users do: what was compiled by hand has to be in the bundles, too.
if (changedMs("dist/library/cometmq.js") < changedMs("dist/mod.js"))
  execFileSync(process.execPath, ["scripts/bundle.mjs"], { cwd: import.meta.dirname, stdio: "inherit" });

const { alone, together } = divide("test", "examples");

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    env: { COMETMQ_VERIFY: "1" },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The built product is for Node to import: to pass its hundreds of modules through Vite takes longer than most tests.
    server: { deps: { external: [/\/dist\//] } },
    setupFiles: ["test/setup.ts"],
    projects: [
      { extends: true, test: { name: "alone", include: alone } },
      { extends: true, test: { name: "together", include: together, isolate: false } },
    ],
  },
});
