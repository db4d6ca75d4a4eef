import { defineConfig } from "vitest/config";

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
