/**
 * The fenced blocks of README.md and docs/. What stands before a block in an HTML comment says what it cannot say itself:
 *
 *   <!-- not run: REASON -->     nobody runs it; counted, and told with its reason
 *   <!-- server stops -->        the page's server ends in order before it
 *   <!-- setup … -->             shell commands that a reader has done in his own way, run before it
 *
 * The word behind the language may be `file=NAME`: the block is that file of the page's directory. A block of `text` is what
 * the block before it prints, `…` standing for anything.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..");

/** Of fences. The last three are looked at by people only. */
export const LANGUAGES = [
  "sh",
  "js",
  "ts",
  "java",
  "json",
  "properties",
  "yaml",
  "text",
  "mermaid",
  "xml",
  "",
] as const;

export interface Block {
  /** `docs/guides/x.md:12`, where its fence is. */
  readonly at: string;
  readonly language: string;
  readonly text: string;
  readonly file: string | undefined;
  /** Why nobody runs it. */
  readonly notRun: string | undefined;
  readonly stopsServer: boolean;
  readonly setup: string | undefined;
  /** What it prints, where the page says so. */
  readonly output: string | undefined;
}

export interface Page {
  readonly name: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

export function pages(): Page[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  const files = docs.filter((name) => name.endsWith(".md")).map((name) => join(ROOT, "docs", name));
  return [join(ROOT, "README.md"), ...files.sort()].map((file) => {
    const name = relative(ROOT, file);
    const text = readFileSync(file, "utf8");
    // Signatures, which are made of the sources.
    const isReference = name.startsWith(join("docs", "api"));
    return { name, text, blocks: isReference ? [] : blocksOf(name, text) };
  });
}

const COMMENT = /<!-- (not run: |server stops|setup\n)([\s\S]*?)\s*-->\n/g;
const FENCE = /^( *)```(\w*)([^\n]*)\n([\s\S]*?)^\1```$/gm;

export function blocksOf(name: string, text: string): Block[] {
  const blocks: Block[] = [];
  let end = 0;
  for (const match of text.matchAll(FENCE)) {
    const [whole, indent, language, info, body] = match as unknown as [string, string, string, string, string];
    const before = text.slice(end, match.index);
    end = match.index + whole.length;
    const said = new Map([...before.matchAll(COMMENT)].map(([, kind, rest]) => [kind!.trim(), rest!]));
    const own = body.replace(new RegExp(`^${indent}`, "gm"), "");
    const previous = blocks.at(-1);
    if (language === "text" && previous !== undefined && previous.output === undefined && isRun(previous)) {
      blocks[blocks.length - 1] = { ...previous, output: own };
      continue;
    }
    blocks.push({
      at: `${name}:${text.slice(0, match.index).split("\n").length}`,
      language,
      text: own,
      file: /\bfile=(\S+)/.exec(info)?.[1],
      notRun: said.get("not run:"),
      stopsServer: said.has("server stops"),
      setup: said.get("setup"),
      output: undefined,
    });
  }
  return blocks;
}

/** Whether something is to be done with it besides looking at it. */
export function isRun({ language, file }: Block): boolean {
  return file !== undefined || ["sh", "js", "ts", "java"].includes(language);
}
