/** Where the command writes: results to stdout, everything else to stderr. The only place that touches either. */
import { writeSync } from "node:fs";

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** For the last words of a process that is about to exit. */
export function printErrorNow(text: string): void {
  writeSync(2, `${text}\n`);
}
