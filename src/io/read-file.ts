/** A whole file, for those who need no more of the disk. */
import * as fs from "node:fs";
import { systemCode } from "../base/errors.js";
import { ioError } from "./system-error.js";

/** Undefined when there is no such file. Throws COMETMQ_IO. */
export function readFile(path: string): Buffer | undefined {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw ioError("read", path, error);
  }
}
