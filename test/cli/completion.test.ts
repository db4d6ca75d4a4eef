/** `cometmq completion`: the scripts, run by the shells that are there, against commander's own tree. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Node, nodesOf } from "#src/cli/completion/tree.js";
import { cometmqProgram } from "#src/cli/program.js";
import { cometmq } from "./store-process.js";

const nodes = nodesOf(cometmqProgram());
const directory = mkdtempSync(join(tmpdir(), "cometmq-completion-"));

beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { status, out, err } = await cometmq(["completion", shell]);
    expect([status, err]).toEqual([0, ""]);
    writeFileSync(join(directory, shell), out);
  }
});

afterAll(() => rmSync(directory, { recursive: true }));

const isThere = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

/** How a shell is asked: a program that prints what it offers for a line of words, the last one unfinished. */
const ASK = {
  bash: `source "$1"; while IFS= read -r line; do
  COMP_WORDS=(); while [[ "$line" == *' '* ]]; do COMP_WORDS+=("\${line%% *}"); line="\${line#* }"; done; COMP_WORDS+=("$line")
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _cometmq_completion; echo "\${COMPREPLY[*]}"
done`,
  zsh: `compdef() { }; source "$1"
_describe() { [[ "$1" == -o ]] && shift; local -a all=("\${(@P)2}"); print -rn -- "\${(j: :)all[@]%%:*} " }
compadd() { shift; print -rn -- "$* " }
_files() { print -rn -- "files " }
while IFS= read -r line; do words=("\${(@s: :)line}"); CURRENT=$#words; PREFIX="$words[CURRENT]"; _cometmq; print; done`,
  fish: `source $argv[1]; while read -l line; echo (complete -C $line | string replace -r '\\t.*' '' | string join ' '); end`,
} as const;

function ask(shell: keyof typeof ASK, lines: readonly string[]): string[][] {
  const script = join(directory, shell);
  const args = shell === "fish" ? ["--no-config", "-c", ASK[shell], script] : ["-c", ASK[shell], shell, script];
  const { stdout, stderr, status } = spawnSync(shell, args, { input: `${lines.join("\n")}\n`, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout
    .split("\n")
    .slice(0, lines.length)
    .map((line) => line.split(" ").filter((word) => word !== ""));
}

const typed = ({ path }: Node, word: string): string =>
  ["cometmq", ...path.split(" "), word].filter((part, i, all) => part !== "" || i === all.length - 1).join(" ");

for (const shell of ["bash", "zsh", "fish"] as const) {
  const missing = isThere(shell) ? "" : ` (skipped: ${shell} is not installed)`;
  test.skipIf(missing !== "")(`${shell} offers every command, every flag and every choice${missing}`, () => {
    const parents = nodes.filter(({ children }) => children.length > 0);
    const offered = ask(
      shell,
      parents.map((node) => typed(node, "")),
    );
    for (const [i, { children }] of parents.entries()) {
      expect(offered[i]!.sort()).toEqual(children.map(({ name }) => name).sort());
    }
    expect(parents.map(({ path }) => path)).toEqual(expect.arrayContaining(["", "topic", "bench"]));

    const flags = ask(
      shell,
      nodes.map((node) => typed(node, "--")),
    );
    for (const [i, node] of nodes.entries()) {
      const long = node.flags.flatMap(({ names }) => names).filter((name) => name.startsWith("--"));
      expect(flags[i]!.filter((name) => name.startsWith("--")).sort()).toEqual(long.sort());
    }

    const [types, shells, cases, json] = ask(shell, [
      "cometmq topic create orders --type ",
      "cometmq completion ",
      "cometmq bench store ",
      "cometmq bench send --json --h",
    ]);
    expect(types!.sort()).toEqual(["DELAY", "FIFO", "MIXED", "NORMAL", "PRIORITY", "TRANSACTION"]);
    expect(shells!.sort()).toEqual(["bash", "fish", "zsh"]);
    expect(cases).toContain("put-sync");
    expect(json).toEqual(expect.arrayContaining(["--html", "--help"]));
  });
}

test("bash begins words, and offers files where files are meant", () => {
  const [begun, of, files, imported, nothing] = ask("bash", [
    "cometmq topic d",
    "cometmq consume T --na",
    `cometmq bench compare ${join(directory, "ba")}`,
    `cometmq store import d ${join(directory, "ba")}`,
    "cometmq consume T --count ",
  ]);
  expect(begun).toEqual(["describe", "delete"]);
  expect(of).toEqual(["--namesrv"]);
  expect([files, imported]).toEqual([[join(directory, "bash")], [join(directory, "bash")]]);
  expect(nothing).toEqual([]);
});

test("a shell that there is no script for", async () => {
  const { status, err } = await cometmq(["completion", "tcsh"]);
  expect([status, err]).toEqual([2, expect.stringContaining("Allowed choices are bash, zsh, fish")]);
});
