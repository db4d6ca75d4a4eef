/**
 * What the verbs of `cometmq store` have in common: exit codes (0 fine, 1 findings, 2 could not run), output as JSON lines
 * or for people, and the store's lock.
 */
import { once } from "node:events";
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import type { DirectoryLock, Disk } from "../io/disk.js";
import { printError } from "./output.js";

/** INTERRUPTED is how shells know an end by Ctrl-C. */
export const ExitCode = { FINE: 0, FINDINGS: 1, COULD_NOT_RUN: 2, INTERRUPTED: 130 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Flags of every verb. */
export interface StoreFlags {
  readonly conf?: string;
  readonly json?: boolean;
}

/** A verb over a store directory; whatever it throws is reported, and the process ends with 2. */
export function storeVerb(store: Command, verb: string, description: string): Command {
  return store
    .command(verb)
    .description(description)
    .argument("<dir>", "the store's directory, or one that holds it as store/")
    .option("--conf <file>", "the broker.conf the store was written with (default: one in the directory or beside it)")
    .option("--json", "JSON lines instead of text")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? ExitCode.FINE : ExitCode.COULD_NOT_RUN));
}

/** One that `changes` a store comes to its end also where nobody reads what it says. */
export async function runVerb(verb: () => Promise<ExitCode>, changes = false): Promise<void> {
  if (changes) goOnWithoutOutput();
  try {
    const code = await verb();
    process.exitCode = isOutputFailed() ? ExitCode.COULD_NOT_RUN : code;
  } catch (error) {
    reportError(error);
    process.exitCode = ExitCode.COULD_NOT_RUN;
  }
}

/** What a person can act on is one line; anything else is a fault of ours and keeps its stack. */
export function reportError(error: unknown): void {
  if (error instanceof CometError) printError(`cometmq: ${error.message} (${error.code})`);
  else printError(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

/** Why stdout takes nothing more. */
let outputError: NodeJS.ErrnoException | undefined;
let goesOn = false;

/**
 * From the start of the process: without stdout a verb ends. That nobody reads any more (`cometmq store export … | head`) is
 * no failure; a full disk is, and is told. That stderr takes nothing can be told to nobody.
 */
export function watchOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    const isFirst = outputError === undefined;
    outputError ??= error;
    if (isFirst && isOutputFailed())
      printError(`cometmq: stdout takes nothing more (${error.code}): results are missing`);
    if (!goesOn) process.exit(isOutputFailed() ? ExitCode.COULD_NOT_RUN : ExitCode.FINE);
  });
  process.stderr.on("error", () => {});
}

/** For servers, and for what must come to its end. */
export function goOnWithoutOutput(): void {
  goesOn = true;
}

function isOutputFailed(): boolean {
  return outputError !== undefined && outputError.code !== "EPIPE";
}

/** Writes to stdout no faster than it is read. */
export async function writeOut(text: string): Promise<void> {
  if (outputError !== undefined || process.stdout.write(text)) return;
  try {
    await once(process.stdout, "drain");
  } catch (error) {
    if (error !== outputError) throw error;
  }
}

export function isTerminal(): boolean {
  return process.stdout.isTTY === true;
}

/** Where a store in use may be looked at all the same: undefined, and a word about it. */
export function lockOrTell(disk: Disk, path: string): DirectoryLock | undefined {
  try {
    return disk.lock(path);
  } catch (error) {
    if (!(error instanceof CometError) || error.code !== "COMETMQ_STORE_LOCKED") throw error;
    printError("cometmq: the store is in use; what is shown is of this moment");
    return undefined;
  }
}
