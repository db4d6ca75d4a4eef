/** The pages of docs that are made of tables are true to them, and the tables explain everything. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ERRORS } from "#src/base/errors.js";
import { INERT_OPTIONS, UNBUILT_PROMISES } from "#src/server/broker/apache-options.js";
import { OPTIONS } from "#src/server/broker/broker-options.js";
import { errorsPage } from "../../scripts/errors-page.mjs";
import { settingsPage, unexplained } from "../../scripts/settings-page.mjs";

const page = (name: string): string => readFileSync(join(import.meta.dirname, "..", "..", "docs", name), "utf8");

test("every property is explained: by a comment in broker-options.ts, or in scripts/settings-meanings.mjs", () => {
  expect(unexplained(OPTIONS)).toEqual([]);
});

test("the settings are those of the broker: `npm run docs:pages`", () => {
  expect(page("operations/settings.md")).toBe(settingsPage(OPTIONS, INERT_OPTIONS, UNBUILT_PROMISES));
});

test("the errors are those of the table: `npm run docs:pages`", () => {
  expect(page("reference/errors.md")).toBe(errorsPage(ERRORS));
});
