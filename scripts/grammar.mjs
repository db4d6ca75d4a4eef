/**
 * Makes src/filter/selector-parser.ts of src/filter/selector.peggy. The parser is kept in the repository, so that neither
 * the build nor a user needs the generator; a test says when it was not made again after a change.
 *
 *   npm run grammar
 */
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import peggy from "peggy";

const FOLDER = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "src", "filter");
export const PARSER_FILE = path.join(FOLDER, "selector-parser.ts");

export function generateParser() {
  const grammar = readFileSync(path.join(FOLDER, "selector.peggy"), "utf8");
  const code = peggy.generate(grammar, { output: "source", format: "es" });
  return `// @ts-nocheck Made by scripts/grammar.mjs of selector.peggy: change that, not this.\n${code}\n`;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  writeFileSync(PARSER_FILE, generateParser());
}
