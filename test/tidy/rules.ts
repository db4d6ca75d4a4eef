/**
 * The rules of the house as pure functions from sources to findings, so that each can be shown a snippet that breaks it.
 */
import path from "node:path";
import { codeOf, functionsOf, type Import, importsOf, lineAt } from "./source-text.js";

export interface Source {
  /** Relative to the repository's root, with `/`. */
  path: string;
  text: string;
}

export interface Finding {
  rule: string;
  path: string;
  line: number;
  message: string;
}

export interface Restriction {
  modules: RegExp;
  folders: readonly string[];
}

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;

/** The folder of src/ that a file belongs to; `.` for src/ itself. */
function folderOf(file: string): string {
  const parts = file.split("/");
  return parts.length > 2 ? parts[1]! : ".";
}

const importsOfSource = (source: Source): Import[] => importsOf(source.text, codeOf(source.text));

/** The source file that an import of `from` means, or undefined for a package. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return path.posix.join(path.posix.dirname(from), specifier).replace(/\.js$/, ".ts");
}

/** Rule `layers`: every relative import stays in its folder or goes to one that the table allows. */
export function checkLayers(
  sources: readonly Source[],
  layers: Readonly<Record<string, readonly string[]>>,
): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    const from = folderOf(source.path);
    const allowed = layers[from];
    if (allowed === undefined) {
      findings.push({ rule: "layers", path: source.path, line: 1, message: `src/${from} is not in the layer table` });
      continue;
    }
    for (const { specifier, line } of importsOfSource(source)) {
      const file = target(source.path, specifier);
      if (file === undefined) continue;
      const to = folderOf(file);
      const isInside = file.startsWith("src/") && (to === from || allowed.includes(to));
      if (!isInside)
        findings.push({ rule: "layers", path: source.path, line, message: `${from} may not import ${specifier}` });
    }
  }
  return findings;
}

/** Rule `restricted`: some modules are for some folders only. */
export function checkRestricted(sources: readonly Source[], restrictions: readonly Restriction[]): Finding[] {
  return sources.flatMap((source) =>
    importsOfSource(source)
      .filter(({ specifier }) =>
        restrictions.some(
          ({ modules, folders }) => modules.test(specifier) && !folders.includes(folderOf(source.path)),
        ),
      )
      .map(({ specifier, line }) => ({
        rule: "restricted",
        path: source.path,
        line,
        message: `src/${folderOf(source.path)} may not import ${specifier}`,
      })),
  );
}

type Graph = ReadonlyMap<string, readonly { file: string; line: number }[]>;

function graphOf(sources: readonly Source[], kinds: readonly Import["kind"][]): Graph {
  return new Map(
    sources.map((source) => [
      source.path,
      importsOfSource(source).flatMap(({ specifier, line, kind }) => {
        const file = target(source.path, specifier);
        return file === undefined || !kinds.includes(kind) ? [] : [{ file, line }];
      }),
    ]),
  );
}

/** Rule `cycles`: no file imports itself by way of others. Types are gone at run time, and a worker is another program. */
export function checkCycles(sources: readonly Source[]): Finding[] {
  const graph = graphOf(sources, ["value"]);
  const findings: Finding[] = [];
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]) => {
    for (const { file: next, line } of graph.get(file) ?? []) {
      const start = trail.indexOf(next);
      if (start !== -1) {
        const cycle = [...trail.slice(start), next].join(" → ");
        findings.push({ rule: "cycles", path: file, line, message: `a cycle of imports: ${cycle}` });
      } else if (!done.has(next)) visit(next, [...trail, next]);
    }
    done.add(file);
  };
  for (const { path } of sources) if (!done.has(path)) visit(path, [path]);
  return findings;
}

/** Rule `unreachable`: every file is imported, or started as a worker, by a chain that begins at an entry. */
export function checkReachable(sources: readonly Source[], entries: readonly string[]): Finding[] {
  const graph = graphOf(sources, ["value", "type", "worker"]);
  const reached = new Set<string>();
  const visit = (file: string) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const next of graph.get(file) ?? []) visit(next.file);
  };
  for (const entry of entries) visit(entry);
  return sources
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => ({
      rule: "unreachable",
      path,
      line: 1,
      message: `no import leads here from ${entries.join(" or ")}`,
    }));
}

/** Rules `file-length` and `function-length`. */
export function checkLengths(sources: readonly Source[]): Finding[] {
  return sources.flatMap(({ path, text }) => {
    const findings: Finding[] = [];
    const fileLines = text.trimEnd().split("\n").length;
    if (fileLines > FILE_LINES_MAX)
      findings.push({ rule: "file-length", path, line: 1, message: `${fileLines} lines, at most ${FILE_LINES_MAX}` });
    for (const { name, line, lines } of functionsOf(codeOf(text)))
      if (lines > FUNCTION_LINES_MAX)
        findings.push({
          rule: "function-length",
          path,
          line,
          message: `${name}: ${lines} lines, at most ${FUNCTION_LINES_MAX}`,
        });
    return findings;
  });
}

/** Rule `banned`: calls with a better way, in code (not in comments and strings). */
export function checkBanned(sources: readonly Source[]): Finding[] {
  return sources.flatMap((source) => {
    const code = codeOf(source.text);
    const isBase = source.path.startsWith("src/base/");
    const bans: [RegExp, string][] = [
      [/\bconsole\s*\./g, "a Logger is passed in, the command line writes to its streams"],
      ...(isBase
        ? []
        : [[/\b(?:Date\.now|Math\.random)\b|\bnew Date\(\)/g, "time and chance are arguments"] as [RegExp, string]]),
    ];
    return bans.flatMap(([pattern, message]) => matches("banned", source, code, pattern, message));
  });
}

/** Rule `focused`: a test that was singled out hides all the others. */
export function checkFocused(sources: readonly Source[]): Finding[] {
  return sources.flatMap((source) => {
    const pattern = /\b(?:test|it|describe|suite|bench)(?:\.\w+)*\.only\b/g;
    return matches("focused", source, codeOf(source.text), pattern, "this test hides all the others");
  });
}

/** Rules `marker` and `machine-path`, in comments and strings as well: an open end, or somebody's own directories. */
export function checkText(sources: readonly Source[]): Finding[] {
  // Put together here so that this file passes.
  const marker = new RegExp(`\\b(?:${["TO" + "DO", "FIX" + "ME", "HA" + "CK"].join("|")})\\b`, "g");
  const workshops = ["wo" + "rk", "fa" + "rm", "sha" + "red"];
  const homes = ["home", "Users", "root", "tmp"];
  return sources.flatMap((source) => {
    // A test may need a path that looks like somebody's.
    const roots = source.path.startsWith("test/") ? workshops : [...workshops, ...homes];
    const machinePath = new RegExp(`(?<![\\w.-])/(?:${roots.join("|")})/\\w`, "g");
    return [
      ...matches("marker", source, source.text, marker, "unresolved work: do it, or leave it out"),
      ...matches("machine-path", source, source.text, machinePath, "a path of one machine"),
    ];
  });
}

function matches(rule: string, source: Source, text: string, pattern: RegExp, why: string): Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    rule,
    path: source.path,
    line: lineAt(text, match.index),
    message: `${match[0].trim()}: ${why}`,
  }));
}
