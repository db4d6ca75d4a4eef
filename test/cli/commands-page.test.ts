/** docs/reference/commands.md is true to the commands. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cometmqProgram } from "#src/cli/program.js";
import { commandsPage } from "../../scripts/commands-page.mjs";

const PAGE = join(import.meta.dirname, "..", "..", "docs", "reference", "commands.md");

test("the page is what `node scripts/commands-page.mjs` prints", () => {
  delete process.env["NAMESRV_ADDR"];
  expect(readFileSync(PAGE, "utf8")).toBe(commandsPage(cometmqProgram()));
});

test("every example of the page names verbs and flags that there are", () => {
  const [, block] = /```sh\n([\s\S]*?)```/.exec(readFileSync(PAGE, "utf8"))!;
  const examples = block!.split("\n").flatMap((line) => /cometmq ([^#|]*)/.exec(line)?.[1] ?? []);
  expect(examples.length).toBeGreaterThan(5);
  for (const example of examples) {
    const words = example.trim().split(/\s+/);
    let command = cometmqProgram();
    while (command.commands.length > 0) {
      const verb = command.commands.find((candidate) => candidate.name() === words[0]);
      if (verb === undefined) throw new Error(`${example}: there is no ${words[0]}`);
      command = verb;
      words.shift();
    }
    const flags = words.filter((word) => /^--?[a-z]/.test(word));
    const known = command.options.flatMap(({ long, short }) => [long, short]);
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
  }
});
