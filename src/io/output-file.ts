/** Files that a command will write at its end: refused at its beginning where that would fail. Nothing is made. */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { CometError, systemCode } from "../base/errors.js";
import { ioError } from "./system-error.js";

/** Throws COMETMQ_CONFIG, with `flag`, for what is no place for a file, and COMETMQ_IO where nobody may write. */
export function checkOutputFile(flag: string, path: string | undefined): void {
  if (path === undefined) return;
  const refused = (why: string): CometError => new CometError("COMETMQ_CONFIG", `${flag}: ${why}.`);
  if (path === "") throw refused("the name of a file is missing");
  const there = statOf(path);
  if (there?.isDirectory()) throw refused(`${path} is a directory, not a file`);
  // Whole files take the place of what was there: of a device, too.
  if (there !== undefined && !there.isFile()) throw refused(`${path} is no regular file`);
  const directory = dirname(path);
  if (statOf(directory)?.isDirectory() !== true) throw refused(`there is no directory ${directory}`);
  try {
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    throw ioError("write", path, error);
  }
}

function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.statSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw ioError("write", path, error);
  }
}
