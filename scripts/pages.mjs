/** Writes the pages of docs that are made of the sources, after a build: `npm run docs:pages`. Tests compare them. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ERRORS } from "../dist/base/errors.js";
import { HELP_EXAMPLES } from "../dist/cli/help-examples.js";
import { cometmqProgram } from "../dist/cli/program.js";
import { INERT_OPTIONS, UNBUILT_PROMISES } from "../dist/server/broker/apache-options.js";
import { OPTIONS } from "../dist/server/broker/broker-options.js";
import { commandsPage } from "./commands-page.mjs";
import { errorsPage } from "./errors-page.mjs";
import { settingsPage } from "./settings-page.mjs";

delete process.env.NAMESRV_ADDR;
const PAGES = {
  "reference/commands.md": commandsPage(cometmqProgram(), HELP_EXAMPLES),
  "reference/errors.md": errorsPage(ERRORS),
  "operations/settings.md": settingsPage(OPTIONS, INERT_OPTIONS, UNBUILT_PROMISES),
};
for (const [name, text] of Object.entries(PAGES)) {
  const file = path.join(import.meta.dirname, "..", "docs", name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}
