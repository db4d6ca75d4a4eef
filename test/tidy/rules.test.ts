/** Every rule is shown what it must find, and what it must let pass. */
import { expect, test } from "vitest";
import * as rules from "./rules.js";
import { codeOf, functionsOf } from "./source-text.js";

const source = (path: string, text: string): rules.Source => ({ path, text });
const places = (findings: readonly rules.Finding[]) =>
  findings.map(({ rule, path, line }) => `${rule} ${path}:${line}`);

const LAYERS = { base: [], store: ["base"], ".": ["store"] };

test("layers: an import goes to an allowed folder, in whatever form it is written", () => {
  const bad = source(
    "src/base/a.ts",
    'import "./b.js";\nimport type { X } from "../store/x.js";\nawait import("../mod.js");\n',
  );
  const good = source(
    "src/store/a.ts",
    'import { X } from "../base/x.js";\n// from "../mod.js"\nconst s = \'from "../mod.js"\';\n',
  );
  const unknown = source("src/attic/a.ts", "export {};\n");
  const outside = source("src/mod.ts", 'import { X } from "../test/x.js";\n');
  expect(places(rules.checkLayers([bad, good, unknown, outside], LAYERS))).toEqual([
    "layers src/base/a.ts:2",
    "layers src/base/a.ts:3",
    "layers src/attic/a.ts:1",
    "layers src/mod.ts:1",
  ]);
});

test("restricted: a module stays in its folders", () => {
  const restrictions = [{ modules: /^(node:)?fs$|^koffi$/, folders: ["io"] }];
  const bad = source("src/store/a.ts", 'import { openSync } from "node:fs";\nconst k = require("koffi");\n');
  const good = source("src/io/a.ts", 'import { openSync } from "node:fs";\nimport { fs } from "fs-something";\n');
  expect(places(rules.checkRestricted([bad, good], restrictions))).toEqual([
    "restricted src/store/a.ts:1",
    "restricted src/store/a.ts:2",
  ]);
});

test("cycles: a chain of imports that comes back, but not for a type or by a worker", () => {
  const chain = [
    source("src/a/a.ts", 'import { b } from "./b.js";\n'),
    source("src/a/b.ts", 'export { c } from "./c.js";\n'),
    source("src/a/c.ts", 'import "../base/x.js";\nimport { type A, a } from "./a.js";\n'),
  ];
  const types = [
    source("src/b/a.ts", 'import { b } from "./b.js";\n'),
    source("src/b/b.ts", 'import { x } from "../base/x.js";\nimport type { A } from "./a.js";\n'),
  ];
  const worker = [
    source("src/a/host.ts", 'new Worker(new URL("./worker.js", import.meta.url));\n'),
    source("src/a/worker.ts", 'import { host } from "./host.js";\n'),
  ];
  expect(rules.checkCycles([...chain, ...types, ...worker])).toEqual([
    {
      rule: "cycles",
      path: "src/a/c.ts",
      line: 2,
      message: "a cycle of imports: src/a/a.ts → src/a/b.ts → src/a/c.ts → src/a/a.ts",
    },
  ]);
});

test("unreachable: a file nobody imports is found, a worker's is not", () => {
  const sources = [
    source("src/mod.ts", 'export { a } from "./a/a.js";\n'),
    source("src/a/a.ts", 'new Worker(new URL("./worker.js", import.meta.url));\n'),
    source("src/a/worker.ts", 'await import("./late.js");\n'),
    source("src/a/late.ts", "export {};\n"),
    source("src/a/orphan.ts", 'import "./late.js";\n'),
  ];
  expect(places(rules.checkReachable(sources, ["src/mod.ts"]))).toEqual(["unreachable src/a/orphan.ts:1"]);
});

test("file-length and function-length: 500 and 70 lines pass, one more does not", () => {
  const filler = (lines: number) => "  let a;\n".repeat(lines);
  const fn = (bodyLines: number) => `export function f(x: { y: number }): { z: number } {\n${filler(bodyLines)}}\n`;
  expect(rules.checkLengths([source("src/a.ts", "let a;\n".repeat(500)), source("src/b.ts", fn(68))])).toEqual([]);
  expect(
    places(rules.checkLengths([source("src/a.ts", "let a;\n".repeat(501)), source("src/b.ts", `\n${fn(69)}`)])),
  ).toEqual(["file-length src/a.ts:1", "function-length src/b.ts:2"]);
});

test("function-length sees every way to write a function, and nothing else", () => {
  const text = `class A<T> {
  #secret(a: string, b = { c: "}" }): Promise<{ d: number }[]> | undefined {
  }
  static async *generate<K extends Map<string, T>>(k: K): AsyncGenerator<[K, T]> {
  }
  get size(): number {
    if (this.a(b) && c) { return 1; }
    for (const x of y()) { z(); }
  }
  abstract none(a: number): void;
}
export function assertIt(x: unknown): asserts x is { a: 1 } {
}
const f = (a: string) => {
};
call(a, function () {
});
const o = cond ? call(x) : { a: 1 };
try { g(); } catch (error) { h(); }
`;
  const names = functionsOf(codeOf(text)).map(({ name, lines }) => `${name} ${lines}`);
  expect(names.sort()).toEqual(["#secret 2", "arrow function 2", "assertIt 2", "function 2", "generate 2", "size 4"]);
});

test("banned: calls in code, not in comments, strings, templates or regular expressions", () => {
  const bad = source(
    "src/a/a.ts",
    `console.log(1);
const t = Date.now();
const s = \`a \${Math.random()} b\`;
new Date();
`,
  );
  const good = source(
    "src/a/b.ts",
    `// console.log
const a = 'console.' + \`Date.now \${a} new Date()\` + "Math.random";
const r = /console.x[/]'/;
new Date(5); /* console. */
`,
  );
  const clock = source("src/base/clock.ts", "Date.now();\n");
  expect(places(rules.checkBanned([bad, good, clock]))).toEqual([
    "banned src/a/a.ts:1",
    "banned src/a/a.ts:2",
    "banned src/a/a.ts:3",
    "banned src/a/a.ts:4",
  ]);
});

test("focused: a test singled out", () => {
  const bad = source(
    "test/a.test.ts",
    `test.${"only"}("x", () => {});\ndescribe.concurrent.${"only"}("y", () => {});\n`,
  );
  const good = source("test/b.test.ts", `cases.${"only"}();\ntest("x", () => {});\n`);
  expect(places(rules.checkFocused([bad, good]))).toEqual(["focused test/a.test.ts:1", "focused test/a.test.ts:2"]);
});

test("marker and machine-path: in comments and strings too", () => {
  const bad = source(
    "src/a.ts",
    `// ${"TO"}DO later\nconst f = "/home/me/x";\n/* ${"FIX"}ME */\nopen("${"/wo"}rk/x");\n`,
  );
  const good = source("src/b.ts", 'const topic = "SCHEDULE_TOPIC_XXXX";\nconst u = "https://a.b/home/x";\n');
  const fixture = source("test/c.ts", 'start("/home/ns/kvConfig.json");\n');
  expect(places(rules.checkText([bad, good, fixture]))).toEqual([
    "marker src/a.ts:1",
    "marker src/a.ts:3",
    "machine-path src/a.ts:2",
    "machine-path src/a.ts:4",
  ]);
});
