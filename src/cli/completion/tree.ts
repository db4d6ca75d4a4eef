/** The commands and their flags as completion scripts need them: read off commander's tree, so that none is forgotten. */
import type { Argument, Command, Option } from "commander";

/** What stands for a value. */
export type ValueKind = "none" | "any" | "file" | "dir" | "choice";

export interface Value {
  readonly kind: ValueKind;
  readonly choices: readonly string[];
}

export interface Flag {
  /** `--json`, or `-f` and `--follow`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: Value;
  /** The value may be left out. */
  readonly isOptional: boolean;
}

export interface Node {
  /** `topic list`; empty for the program itself. */
  readonly path: string;
  readonly children: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
  /** Of what stands there without a flag. */
  readonly value: Value;
}

/** Every command, the program first. */
export function nodesOf(program: Command, path = ""): Node[] {
  const help = program.createHelp();
  const children = help.visibleCommands(program).map((child) => ({ name: child.name(), description: summary(child) }));
  const node: Node = {
    path,
    children,
    flags: help.visibleOptions(program).map(flagOf),
    value: valueOfArguments(program.registeredArguments),
  };
  const below = program.commands.flatMap((child) =>
    nodesOf(child, path === "" ? child.name() : `${path} ${child.name()}`),
  );
  return [node, ...below];
}

function summary(command: Command): string {
  return command.summary() || command.description();
}

function flagOf({ short, long, description, required, optional, flags, argChoices }: Option): Flag {
  const names = [short, long].filter((name) => name !== undefined && name !== null);
  const [, placeholder = ""] = /[<[]([^>\]]*)[>\]]/.exec(flags) ?? [];
  const value = required || optional ? valueNamed(placeholder, argChoices) : NO_VALUE;
  return { names, description, value, isOptional: optional };
}

const NO_VALUE: Value = { kind: "none", choices: [] };

function valueNamed(name: string, choices: readonly string[] | undefined): Value {
  if (choices !== undefined) return { kind: "choice", choices };
  if (/^dir/.test(name)) return { kind: "dir", choices: [] };
  return { kind: /^file|\.json$/.test(name) ? "file" : "any", choices: [] };
}

/** One for all of them: choices first, then files, among which directories are offered, too. */
function valueOfArguments(given: readonly Argument[]): Value {
  const values = given.map((argument) => valueNamed(argument.name(), argument.argChoices));
  const byKind = (wanted: ValueKind) => values.find(({ kind }) => kind === wanted);
  return byKind("choice") ?? byKind("file") ?? byKind("dir") ?? values[0] ?? NO_VALUE;
}
