/** What can be seen of a directory from outside: names, content, and when anything was changed last. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export function treeState(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mtimeMs, ctimeMs, size } = statSync(path);
      const content = entry.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "directory";
      return `${path} ${size} ${mtimeMs} ${ctimeMs} ${content}`;
    })
    .sort();
}
