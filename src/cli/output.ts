/** Where the command writes: results to stdout, everything else to stderr. The only place that touches either. */

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}
