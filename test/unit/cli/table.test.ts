import { createRequire } from "node:module";
/** Tables: with lines and colour for people at a terminal, plain everywhere else. */
import { afterEach, expect, test, vi } from "vitest";
import { renderPairs, renderTable } from "#src/cli/table.js";

const COLUMNS = [{ head: "topic" }, { head: "queues", align: "right" }] as const;
const ROWS = [
  ["orders", 8],
  ["evil\u001b[31m", 1234],
] as const;

afterEach(() => vi.unstubAllEnvs());

/** What cli-table3 colours with looks at the environment, and at where stdout goes, once: when it is loaded. */
function enableColours(): void {
  const ofTable = createRequire(createRequire(import.meta.url).resolve("cli-table3"));
  (ofTable("@colors/colors/safe") as { enable(): void }).enable();
}

test("a terminal gets colour, but not where its user wants none or it is dumb", () => {
  enableColours();
  vi.stubEnv("NO_COLOR", "");
  vi.stubEnv("TERM", "xterm");
  const colours = "\u001b[";
  expect(renderTable(COLUMNS, ROWS, true)).toContain(colours);
  vi.stubEnv("NO_COLOR", "1");
  expect(renderTable(COLUMNS, ROWS, true)).not.toContain(colours);
  expect(renderPairs([["name", "value"]], true)).not.toContain(colours);
  expect(renderTable(COLUMNS, ROWS, true)).toContain("│ orders");
  vi.stubEnv("NO_COLOR", "");
  vi.stubEnv("TERM", "dumb");
  expect(renderTable(COLUMNS, ROWS, true)).not.toContain(colours);
});

test("a pipe gets columns, and no control character of anybody's", () => {
  expect(renderTable(COLUMNS, ROWS, false)).toBe(
    ["TOPIC           QUEUES", "orders               8", "evil\\u001b[31m   1,234"].join("\n"),
  );
});
