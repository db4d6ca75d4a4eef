/**
 * Which test files have a process of their own. A process costs as much as most files of tests take, so what can share
 * one does. What looks at or changes something that belongs to the whole process (its environment, its open files, its
 * memory, its listeners, its clock) can not, nor can what floods it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const ROOT = path.dirname(import.meta.dirname);
const FLOODS = /^test\/(?:fuzz|load)\//;
const PROCESS_WIDE = new RegExp(
  [
    "/proc/(?:self|\\$\\{process\\.pid\\})",
    "process\\.(?:on|once|off|emit|prepend\\w+|chdir|umask|kill|exitCode|memoryUsage|cpuUsage|resourceUsage|report)\\b",
    "process\\.env(?:\\.\\w+|\\[[^\\]]*\\])\\s*=[^=]",
    "UV_THREADPOOL_SIZE",
    "\\bvi\\.(?:useFakeTimers|stubEnv|stubGlobal|mock|doMock)\\b",
    "globalThis\\.\\w+\\s*=[^=]",
    "\\bgc\\(",
    'from "node:(?:v8|vm|perf_hooks|diagnostics_channel|async_hooks)"',
    'FinalizationRegistry|WeakRef|/discard\\.js"',
  ].join("|"),
);
const OWN_IMPORT = /\bfrom "(\.\.?\/[^"]+)\.js";$/gm;

/** Of the files of tests below the folders given, those that need a process of their own, and the others. */
export function divide(...folders: string[]): { alone: string[]; together: string[] } {
  const alone: string[] = [];
  const together: string[] = [];
  for (const file of folders.flatMap(testsIn)) (needsOwnProcess(file) ? alone : together).push(file);
  return { alone, together };
}

function testsIn(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts") && !file.includes("node_modules"))
    .map((file) => path.posix.join(folder, file.split(path.sep).join("/")))
    .sort();
}

function needsOwnProcess(file: string): boolean {
  return FLOODS.test(file) || reaches(path.join(ROOT, file), new Set());
}

/** Whether a file, or a helper that it imports, has something to do with the whole process. */
function reaches(file: string, seen: Set<string>): boolean {
  if (seen.has(file)) return false;
  seen.add(file);
  const text = textOf(file);
  if (PROCESS_WIDE.test(text)) return true;
  return Array.from(text.matchAll(OWN_IMPORT)).some(([, name]) =>
    reaches(`${path.join(path.dirname(file), name!)}.ts`, seen),
  );
}

const texts = new Map<string, string>();

function textOf(file: string): string {
  const text = texts.get(file) ?? (existsSync(file) ? readFileSync(file, "utf8") : "");
  texts.set(file, text);
  return text;
}
