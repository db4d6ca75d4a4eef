/** Lines of stdin, a file or a pipe, however long they are together. */
import { CometError } from "../base/errors.js";
import { inputChunks } from "../io/input.js";

/** A body of 4 MiB in base64 is a tenth of it. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const NEWLINE = 10;

/** `path` is a file, or `-` for stdin. What can be no file is refused at once. */
export function linesFrom(path: string): AsyncGenerator<Buffer> {
  return linesOf(inputChunks(path), path === "-" ? "stdin" : path);
}

export function textLinesFrom(path: string): AsyncGenerator<string> {
  return textOf(linesFrom(path));
}

async function* textOf(lines: AsyncGenerator<Buffer>): AsyncGenerator<string> {
  for await (const line of lines) yield line.toString("utf8");
}

async function* linesOf(chunks: AsyncGenerator<Buffer>, name: string): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...held, chunk.subarray(start, end)]);
      held = [];
      heldBytes = 0;
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    heldBytes += rest.length;
    if (heldBytes > LINE_BYTES_MAX) {
      throw new CometError("COMETMQ_CONFIG", `${name} has a line of more than ${LINE_BYTES_MAX} bytes.`);
    }
    if (rest.length > 0) held.push(rest);
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}
