/**
 * What README.md and docs/ say is so: links lead somewhere, commands have the flags that are used, TypeScript compiles, files
 * are what they look like, and every block that can be run is run, in the order of its page. `npm test` runs those of
 * README.md; `npm run test:docs` runs all.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { cometmqProgram } from "#src/cli/program.js";
import { readBrokerConfig } from "#src/server/broker/broker-config.js";
import { type Block, isRun, LANGUAGES, pages, ROOT } from "./blocks.js";
import { Lacking, runBlock } from "./run-block.js";
import { type PageRun, Sandbox } from "./sandbox.js";

const FULL = process.env["COMETMQ_DOCS_FULL"] === "1";
const PAGES = pages();
const BLOCKS = PAGES.flatMap(({ blocks }) => blocks);
const of = (language: string): Block[] => BLOCKS.filter((block) => block.language === language);

let sandbox: Sandbox;
const compiled = new Map<Block, string>();

beforeAll(async () => {
  sandbox = new Sandbox();
});
afterAll(() => sandbox.remove());

describe("every page", () => {
  test("has blocks of known languages, and says why a block is not run", () => {
    const strange = BLOCKS.filter(({ language }) => !(LANGUAGES as readonly string[]).includes(language));
    expect(strange.map(({ at, language }) => `${at} ${language}`)).toEqual([]);
    const mute = BLOCKS.filter(({ notRun }) => notRun !== undefined && notRun.length < 10);
    expect(mute.map(({ at }) => at)).toEqual([]);
    expect(BLOCKS.filter((block) => isRun(block) && block.notRun === undefined).length).toBeGreaterThan(10);
  });

  test("has links that lead somewhere", () => {
    const broken = PAGES.flatMap(({ name, text }) =>
      [...text.replace(/```[\s\S]*?```/g, "").matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].flatMap(([, link]) => {
        const [file, anchor] = link!.split("#") as [string, string | undefined];
        const target = file === "" ? join(ROOT, name) : join(ROOT, dirname(name), file);
        if (!existsSync(target)) return [`${name}: ${link}`];
        if (anchor === undefined || !target.endsWith(".md")) return [];
        return anchorsOf(readFileSync(target, "utf8")).has(anchor) ? [] : [`${name}: ${link}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  test("names verbs and flags that there are", () => {
    const wrong = of("sh").flatMap(({ at, text }) =>
      text
        .replace(/\\\n/g, "")
        .split("\n")
        .flatMap((line) => [...line.replace(/\s# .*$/, "").matchAll(/\bcometmq ([^#|;&)]*)/g)])
        .flatMap(([whole, words]) => problemOf(words!).map((problem) => `${at}: ${whole}: ${problem}`)),
    );
    expect(wrong).toEqual([]);
  });

  test("has JSON, YAML and properties that can be read, with properties that there are", () => {
    for (const { at, text } of of("json")) {
      const read = (): unknown => {
        try {
          return JSON.parse(text);
        } catch {
          return text
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line));
        }
      };
      expect(read, at).not.toThrow();
    }
    for (const { at, text } of of("yaml")) {
      expect(
        parseAllDocuments(text).flatMap(({ errors }) => errors.map(({ message }) => message)),
        at,
      ).toEqual([]);
    }
    for (const { at, text } of of("properties")) expect(readBrokerConfig(text).unknownNames, at).toEqual([]);
  });

  test("has TypeScript that compiles", async () => {
    const sources = of("ts").map((block): [Block, string] => {
      const [page, line] = block.at.split(":") as [string, string];
      return [block, join(sandbox.page(page).directory, `block-${line}.ts`)];
    });
    for (const [{ text }, file] of sources) writeFileSync(file, text);
    const options = {
      module: "nodenext",
      target: "es2023",
      lib: ["es2023", "esnext.disposable", "dom"],
      types: ["node"],
    };
    const compilerOptions = { ...options, strict: true, skipLibCheck: true, preserveSymlinks: true };
    writeFileSync(
      join(sandbox.directory, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: sources.map(([, file]) => file) }),
    );
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", sandbox.directory]).catch(
      (error) => error,
    );
    expect(stdout).toBe("");
    for (const [block, file] of sources) compiled.set(block, readFileSync(file.replace(/ts$/, "js"), "utf8"));
  });
});

const notRun: string[] = [];
for (const { name, blocks } of PAGES) {
  const own = blocks.filter(isRun);
  if (own.length === 0 || !(FULL || name === "README.md")) continue;
  describe(name, () => {
    let page: PageRun;
    beforeAll(() => {
      page = sandbox.page(name);
    });
    afterAll(() => page.stop());
    for (const block of own) {
      const { at, notRun: reason } = block;
      if (reason !== undefined) {
        notRun.push(`${at}: ${reason}`);
        test.skip(`${at}: ${reason}`, () => {});
        continue;
      }
      test(at, async ({ skip }) => {
        try {
          await runBlock(page, block, compiled.get(block));
        } catch (error) {
          if (!(error instanceof Lacking)) throw error;
          notRun.push(`${at}: ${error.message}`);
          skip(error.message);
        }
      });
    }
  });
}

afterAll(() => {
  if (notRun.length > 0) process.stdout.write(`docs: ${notRun.length} blocks not run\n  ${notRun.join("\n  ")}\n`);
});

/** Of headings, as GitHub makes them, and of HTML. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id!));
  const counts = new Map<string, number>();
  for (const heading of headings) {
    const count = counts.get(heading) ?? 0;
    counts.set(heading, count + 1);
    anchors.add(count === 0 ? heading : `${heading}-${count}`);
  }
  return anchors;
}

/** What is wrong with the words behind `cometmq`. */
function problemOf(text: string): string[] {
  const words = text.trim().split(/\s+/);
  if (words[0] === "") return [];
  let command: Command = cometmqProgram();
  while (command.commands.length > 0 && words[0] !== undefined && !words[0].startsWith("-")) {
    const verb = command.commands.find((candidate) => candidate.name() === words[0]);
    if (verb === undefined) return [`there is no ${words[0]}`];
    command = verb;
    words.shift();
  }
  const known = [...command.options.flatMap(({ long, short }) => [long, short]), "--help", "-h", "--version"];
  return words
    .filter((word) => /^--?[a-z]/.test(word) && !known.includes(word.split("=")[0]!))
    .map((word) => `there is no ${word}`);
}
