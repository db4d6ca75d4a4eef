/** What a command is given to read: a file, a pipe that has a name, or stdin. Nothing here needs to be seekable or writable. */
import * as fs from "node:fs";
import { CometError, systemCode } from "../base/errors.js";
import { ioError } from "./system-error.js";

const CHUNK_BYTES = 1024 * 1024;
const STDIN_FD = 0;
/** Not every kind of stdin can be opened by its name. */
const STDIN_NAMES: readonly string[] = ["-", "/dev/stdin", "/dev/fd/0"];

/**
 * The bytes of `path`, or of stdin where it is `-`. Throws COMETMQ_CONFIG at once for what is no file: a directory as stdin
 * is nothing but empty to Node.
 */
export function inputChunks(path: string): AsyncGenerator<Buffer> {
  const isStdin = STDIN_NAMES.includes(path);
  const name = isStdin ? "stdin" : path;
  const isDirectory = isStdin ? isDirectoryStdin() : statOf(path).isDirectory();
  if (isDirectory) throw new CometError("COMETMQ_CONFIG", `${name} is a directory, not a file.`);
  return chunksOf(path, name);
}

async function* chunksOf(path: string, name: string): AsyncGenerator<Buffer> {
  try {
    const isStdin = name !== path;
    yield* (
      isStdin ? process.stdin : fs.createReadStream(path, { highWaterMark: CHUNK_BYTES })
    ) as AsyncIterable<Buffer>;
  } catch (error) {
    throw systemCode(error) === "" ? error : ioError("read", name, error);
  }
}

/** All of it. Throws as above. */
export async function readInput(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of inputChunks(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function statOf(path: string): fs.Stats {
  try {
    return fs.statSync(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT" && systemCode(error) !== "ENOTDIR") throw ioError("read", path, error);
    throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  }
}

function isDirectoryStdin(): boolean {
  try {
    return fs.fstatSync(STDIN_FD).isDirectory();
  } catch {
    return false;
  }
}
