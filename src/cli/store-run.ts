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
  beQuietWithoutReader(changes);
  try {
    process.exitCode = await verb();
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

/** `cometmq store export … | head`: nobody reads any more, and that is no failure. */
function beQuietWithoutReader(goesOn: boolean): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (!goesOn) process.exit(ExitCode.FINE);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

/** Writes to stdout no faster than it is read. */
export async function writeOut(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
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
