/** Where the command writes: results to stdout, everything else to stderr. The only place that touches either. */

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export const READY_JSON_TEXT = "the line that says where it listens as JSON";

/** What a server says once it serves: `ready namesrv=… broker=…`, or the same as JSON. */
export function printReady(addresses: Readonly<Record<string, string>>, isJson = false): void {
  const text = Object.entries(addresses).map(([name, address]) => ` ${name}=${address}`);
  printLine(isJson ? JSON.stringify({ ready: true, ...addresses }) : `ready${text.join("")}`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}
