/**
 * Makes docs/api of the docstrings, with typedoc: `npm run docs:api`. With `--check` it writes nothing and fails where the
 * pages are stale, or where something exported has no docstring.
 *
 * Typedoc needs a TypeScript that has an API, which the one that builds CometMQ has not: both are installed here, beside this
 * file, on first use.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const HERE = import.meta.dirname;
const PAGES = path.join(HERE, "..", "..", "docs", "api");
const TYPEDOC = path.join(HERE, "node_modules", "typedoc", "bin", "typedoc");

/** What typedoc writes, the page it becomes, its title, what it is about. */
const MODULES = [
  ["mod.md", "cometmq.md", "cometmq", "brokers and name servers in your process"],
  ["store/mod.md", "store.md", "cometmq/store", "the storage engine alone"],
  ["client/mod.md", "client.md", "cometmq/client", "producers, consumers, administration"],
  ["testing/mod.md", "testing.md", "cometmq/testing", "brokers for tests, with a clock that the test moves"],
];
const REMARK = "<!-- Made of the docstrings by `npm run docs:api`. -->";

class Failure extends Error {}

function install() {
  if (existsSync(TYPEDOC)) return;
  process.stderr.write("api reference: installing typedoc …\n");
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", flags, { cwd: HERE, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Failure("npm could not install typedoc");
}

/** Pages by name. */
function make() {
  const out = mkdtempSync(path.join(tmpdir(), "cometmq-api-"));
  try {
    const args = [TYPEDOC, "--options", path.join(HERE, "typedoc.json"), "--out", out];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });
    const said = `${stdout}${stderr}`;
    const lacking = said
      .split("\n")
      .filter((line) => /does not have any documentation|\[error\]/.test(line) && !/asyncDispose/.test(line));
    if (status !== 0 || lacking.length > 0) throw new Failure(lacking.join("\n") || said);
    const pages = new Map(
      MODULES.map(([file, name, title]) => [name, page(readFileSync(path.join(out, file), "utf8"), title)]),
    );
    return pages.set("README.md", contents(pages));
  } finally {
    rmSync(out, { recursive: true });
  }
}

function page(text, title) {
  const renamed = text.replace(
    /\]\((?:\.\.\/)?((?:store\/|client\/|testing\/)?mod\.md)/g,
    (_, file) => `](${pageOf(file)}`,
  );
  const linked = new Set([...renamed.matchAll(/\(#([\w-]+)\)/g)].map(([, id]) => id));
  const body = renamed
    .replace(/^# .*\n/, `${REMARK}\n\n# ${title}\n`)
    .replace(/<a id="([\w-]+)"><\/a> /g, (anchor, id) => (linked.has(id) ? anchor : ""))
    .replace(/[ \t]+$/gm, "");
  return `${body.trimEnd()}\n`;
}

function pageOf(file) {
  const [, name] = MODULES.find(([from]) => from === file);
  return name;
}

function contents(pages) {
  const rows = MODULES.map(([, name, title, about]) => {
    const names = [...pages.get(name).matchAll(/^### (.*)$/gm)].map(([, heading]) =>
      heading.replace(/\\?<.*|\(\)/g, ""),
    );
    return `| [\`${title}\`](${name}) | ${about} | ${[...new Set(names)].map((each) => `\`${each}\``).join(", ")} |`;
  });
  return [REMARK, "\n# API\n", "| import | what it is | names |", "| --- | --- | --- |", ...rows, ""].join("\n");
}

function check(pages) {
  const stale = [...pages].filter(
    ([name, text]) => !existsSync(path.join(PAGES, name)) || readFileSync(path.join(PAGES, name), "utf8") !== text,
  );
  const left = readdirSync(PAGES).filter((name) => !pages.has(name));
  const names = [...stale.map(([name]) => name), ...left];
  if (names.length > 0) throw new Failure(`stale, make them anew with npm run docs:api: ${names.join(" ")}`);
}

function write(pages) {
  rmSync(PAGES, { recursive: true, force: true });
  mkdirSync(PAGES, { recursive: true });
  for (const [name, text] of pages) writeFileSync(path.join(PAGES, name), text);
}

try {
  install();
  const pages = make();
  if (process.argv.includes("--check")) check(pages);
  else write(pages);
  process.stderr.write(`api reference: ${pages.size} pages\n`);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  process.stderr.write(`api reference: ${error.message}\n`);
  process.exitCode = 1;
}
