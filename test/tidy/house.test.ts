/** The rules applied to this repository. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ENTRIES, EXCEPTIONS, LAYERS, RESTRICTED } from "./layers.js";
import * as rules from "./rules.js";

const ROOT = path.join(import.meta.dirname, "..", "..");
const WRITTEN = /\.(?:ts|mts|mjs|java|sh|md|json|xml|txt|ya?ml)$|^\.ci\/run$/;
const NOT_OURS = /(?:^|\/)node_modules\/|^(?:package-lock\.json$|test\/golden\/data\/|bench\/(?:results|out)\/)/;

function sourcesIn(folder: string, deep = true): rules.Source[] {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { recursive: deep, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
    .filter((file) => WRITTEN.test(file) && !NOT_OURS.test(file))
    .sort()
    .map((file) => ({ path: file, text: readFileSync(path.join(ROOT, file), "utf8") }));
}

const src = sourcesIn("src");
const programs = [...src, ...["scripts", "bin"].flatMap((folder) => sourcesIn(folder))];
const tests = sourcesIn("test");
const everything = [
  ...programs,
  ...tests,
  ...["bench", "docs", "examples", ".ci"].flatMap((folder) => sourcesIn(folder)),
  ...sourcesIn(".", false),
];
const isScript = (source: rules.Source) => /\.m?[jt]s$/.test(source.path);

function show(findings: readonly rules.Finding[]): string[] {
  return findings
    .filter(({ rule, path }) => !EXCEPTIONS.some((exception) => exception.rule === rule && exception.path === path))
    .map(({ path, line, message }) => `${path}:${line}: ${message}`);
}

const findings: Record<string, rules.Finding[]> = {
  "imports follow the layer table": rules.checkLayers(src, LAYERS),
  "files and sockets are reached through their seams only": rules.checkRestricted(src, RESTRICTED),
  "no import leads back to itself": rules.checkCycles(src),
  "every source file is reached from an entry": rules.checkReachable(src, ENTRIES),
  "files have at most 500 lines, functions 70": [
    ...rules.checkLengths(programs),
    ...rules.checkLengths(tests.filter(isScript)).filter(({ rule }) => rule === "file-length"),
  ],
  "no banned call": rules.checkBanned(src),
  "no test is singled out": rules.checkFocused(tests.filter(isScript)),
  "no open ends and no machine's paths": rules.checkText(everything),
};

test("there is something to check", () => {
  expect(src.length).toBeGreaterThan(50);
  expect(tests.length).toBeGreaterThan(20);
});

test.each(Object.entries(findings))("%s", (_, found) => {
  expect(show(found)).toEqual([]);
});

test("no exception is left over", () => {
  const all = Object.values(findings).flat();
  expect(
    EXCEPTIONS.filter(({ rule, path }) => !all.some((found) => found.rule === rule && found.path === path)),
  ).toEqual([]);
});

test("threads' files have the ending by which the command's bundle finds them", () => {
  const files = src.flatMap(({ text }) =>
    [...text.matchAll(/new Worker\(new URL\("([^"]+)"/g)].map(([, file]) => file!),
  );
  expect(files.length).toBeGreaterThan(2);
  const [, ending] = /endsWith\("(.+?)"\)/.exec(readFileSync(path.join(ROOT, "scripts", "bundle.mjs"), "utf8"))!;
  expect(files.filter((file) => !file.endsWith(ending!))).toEqual([]);
});
