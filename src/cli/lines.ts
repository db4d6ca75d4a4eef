/** Lines of text from stdin or a file, however long they are together. */
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";

const CHUNK_BYTES = 1024 * 1024;
/** A body of 4 MiB in base64 is a tenth of it. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const NEWLINE = 10;

/** `path` is a file, or `-` for stdin. */
export async function* linesFrom(disk: Disk, path: string): AsyncGenerator<string> {
  const name = path === "-" ? "stdin" : path;
  if (path !== "-" && disk.sizeOf(path) < 0) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  const chunks: AsyncIterable<Buffer> | Iterable<Buffer> = path === "-" ? process.stdin : fileChunks(disk, path);
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...held, chunk.subarray(start, end)]).toString("utf8");
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
  if (heldBytes > 0) yield Buffer.concat(held).toString("utf8");
}

function* fileChunks(disk: Disk, path: string): Generator<Buffer> {
  const file = disk.openFile(path, false);
  try {
    for (let position = 0; ; ) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const got = file.readAt(chunk, 0, CHUNK_BYTES, position);
      if (got === 0) return;
      position += got;
      yield chunk.subarray(0, got);
    }
  } finally {
    file.close();
  }
}
