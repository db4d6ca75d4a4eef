/** docs/reference/commands.md is true to the commands. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { HELP_EXAMPLES } from "#src/cli/help-examples.js";
import { cometmqProgram } from "#src/cli/program.js";
import { commandsPage } from "../../scripts/commands-page.mjs";

const PAGE = join(import.meta.dirname, "..", "..", "docs", "reference", "commands.md");

test("the page is what `node scripts/commands-page.mjs` prints", () => {
  delete process.env["NAMESRV_ADDR"];
  expect(readFileSync(PAGE, "utf8")).toBe(commandsPage(cometmqProgram(), HELP_EXAMPLES));
});

function verbOf(words: string): Command | undefined {
  const [, ...names] = words.split(" ");
  return names.reduce<Command | undefined>(
    (command, name) => command?.commands.find((child) => child.name() === name),
    cometmqProgram(),
  );
}

test("examples are of verbs and flags that there are, each below its own verb", () => {
  const wrong = Object.entries(HELP_EXAMPLES).flatMap(([words, examples]) => {
    const known = verbOf(words)?.options.flatMap(({ long, short }) => [long, short]) ?? [];
    return examples.filter((example) => {
      const call = example.slice(Math.max(0, example.indexOf(`${words} `)));
      const flags = call.match(/(?<= )--?[a-z][a-z-]*/g) ?? [];
      return (
        verbOf(words) === undefined ||
        !call.startsWith(words) ||
        (words !== "cometmq" && flags.some((flag) => !known.includes(flag)))
      );
    });
  });
  expect(wrong).toEqual([]);
});
