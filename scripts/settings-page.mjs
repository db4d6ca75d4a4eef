/**
 * docs/operations/settings.md, from the table of options: `npm run docs:pages` writes it after a build, and a test compares.
 * What a property means stands in the comment before it in broker-options.ts, or in settings-meanings.mjs.
 */
import { readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import path from "node:path";
import { MEANINGS } from "./settings-meanings.mjs";

const SOURCE = path.join(import.meta.dirname, "..", "src", "server", "broker", "broker-options.ts");

const HEAD = `<!-- Made of the table of options by \`npm run docs:pages\`. -->

# Settings

Properties of a \`broker.conf\`, given with \`-c\`, by Apache's names. The same names are members of \`config\` in
\`Broker.start\` and \`TestBroker.start\`. A value that cannot be ends the start with the property's name; a name that nobody
knows is said in a warning; Apache's properties that change nothing here are taken and listed at the end.

Those marked "running" can be changed while the broker runs, by \`cometmq config\` or mqadmin's \`updateBrokerConfig\`. The
change goes into the file given with \`-c\`, else into \`config/broker.conf\` of the store, so it holds after a restart.

Numbers are milliseconds and bytes where nothing else is said.
`;

/** @param {Record<string, unknown>} options OPTIONS @param {ReadonlyMap<string, string>} inert @param {ReadonlyMap<string, string>} promises */
export function settingsPage(options, inert, promises) {
  const { sections, comments } = sourceNotes(readFileSync(SOURCE, "utf8"));
  const parts = [HEAD];
  for (const [title, names] of sections) {
    const rows = names.map((name) => row(name, options[name], comments.get(name) ?? MEANINGS[name]));
    parts.push(
      `## ${title}\n`,
      "| property | default | values | change | what it is |",
      "| --- | --- | --- | --- | --- |",
      ...rows,
      "",
    );
  }
  parts.push("## What cannot be asked for\n");
  parts.push("Another value than this one is refused, since ignoring it would promise what is not there:\n");
  parts.push(
    "| property | only |",
    "| --- | --- |",
    ...[...promises].map(([name, value]) => `| \`${name}\` | \`${value}\` |`),
    "",
  );
  const without = [...inert.keys()].filter((name) => !promises.has(name)).sort((a, b) => (a < b ? -1 : 1));
  parts.push("## Apache's properties without effect\n");
  parts.push(
    "Thread pools, RocksDB, mapped file swapping, replication, metrics. The type of a value is checked all the same.\n",
  );
  parts.push(`${without.map((name) => `\`${name}\``).join(", ")}.\n`);
  return parts.join("\n");
}

/** Properties that neither a comment nor MEANINGS explains, and explanations of what there is not. */
export function unexplained(options) {
  const { sections, comments } = sourceNotes(readFileSync(SOURCE, "utf8"));
  const listed = [...sections.values()].flat();
  const lacking = Object.keys(options).filter(
    (name) => !listed.includes(name) || !(comments.get(name) ?? MEANINGS[name]),
  );
  const left = Object.keys(MEANINGS).filter((name) => !Object.hasOwn(options, name) || comments.has(name));
  return [...lacking, ...left];
}

function row(name, option, meaning) {
  const { initial, expects, runtime, secret } = option;
  const shown = typeof initial === "string" ? ownMachine(initial) : String(initial);
  return `| \`${name}\` | ${shown === "" ? "" : `\`${shown}\``} | ${secret ? "not shown to anybody" : expects.replaceAll("|", "\\|")} | ${runtime ? "running" : ""} | ${meaning ?? ""} |`;
}

/** The page is the same wherever it is made. */
function ownMachine(text) {
  if (text === `${homedir()}/store`) return "~/store";
  return text === hostname() || text === "DEFAULT_BROKER" ? "this host's name" : text;
}

/** Sections with their names in order, and the comment before each name. */
function sourceNotes(source) {
  const [, table] = /export const OPTIONS = \{\n([\s\S]*?)\n\} as const/.exec(source);
  const sections = new Map();
  const comments = new Map();
  let names = [];
  let comment;
  for (const line of table.split("\n")) {
    const title = /^ {2}\/\/ (.*)$/.exec(line)?.[1];
    if (title !== undefined) {
      names = [];
      sections.set(title, names);
    }
    comment = /^ {2}\/\*\* (.*) \*\/$/.exec(line)?.[1] ?? comment;
    const name = /^ {2}"?([\w.]+)"?: /.exec(line)?.[1];
    if (name === undefined) continue;
    names.push(name);
    if (comment !== undefined) comments.set(name, comment);
    comment = undefined;
  }
  return { sections, comments };
}
