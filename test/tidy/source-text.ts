/**
 * Just enough of TypeScript's grammar for the rules: what is comment or string, what is imported, where a function
 * begins and ends. A scan of characters, not a parser.
 */

const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};~^<>+*%-]|\b(?:return|typeof|case|in|of|else|do|void|await|yield|throw))$/;

/** The source with comments and the contents of strings and regular expressions as blanks; positions stay the same. */
export function codeOf(source: string): string {
  const out = source.split("");
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  /** Depths of braces at which a `}` goes back into the text of a template. */
  const templates: number[] = [];
  let depth = 0;
  for (let i = 0; i < source.length; ) {
    const char = source[i]!;
    let end = i + 1;
    if (source.startsWith("//", i) || source.startsWith("/*", i)) {
      end = endOf(source, i + 2, source[i + 1] === "/" ? /\n/g : /\*\//g);
      blank(i, end);
    } else if (char === '"' || char === "'") {
      end = endOf(source, i + 1, char === '"' ? /(?:\\[\s\S]|[^\\"])*"/gy : /(?:\\[\s\S]|[^\\'])*'/gy);
      blank(i + 1, end - 1);
    } else if (
      char === "/" &&
      BEFORE_REGEX.test(
        out
          .slice(Math.max(0, i - 20), i)
          .join("")
          .trimEnd(),
      )
    ) {
      end = endOf(source, i + 1, /(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])*\//gy);
      blank(i + 1, end - 1);
    } else if (char === "`" || (char === "}" && templates.at(-1) === depth)) {
      if (char === "}") templates.pop();
      end = endOf(source, i + 1, /(?:\\[\s\S]|(?!\$\{)[^\\`])*(?:`|\$\{)/gy);
      if (source[end - 1] === "{") templates.push(depth);
      blank(i + 1, end - (source[end - 1] === "{" ? 2 : 1));
    } else if (char === "{") depth++;
    else if (char === "}") depth--;
    i = end;
  }
  return out.join("");
}

function endOf(source: string, from: number, pattern: RegExp): number {
  pattern.lastIndex = from;
  return pattern.exec(source) === null ? source.length : pattern.lastIndex;
}

export interface Import {
  specifier: string;
  line: number;
  /** `type`: nothing of it is left at run time. `worker`: started as a program of its own. */
  kind: "value" | "type" | "worker";
}

/** Every module that a source names: static and dynamic imports, `require`, and workers by their URL. */
export function importsOf(source: string, code: string): Import[] {
  const forms =
    /\b(?:from|import)\s*["']|\b(?:import|require\w*)\s*\(\s*["']|\bnew URL\(\s*["'](?= *["'], import\.meta\.url)/g;
  return [...code.matchAll(forms)].map((match) => {
    const start = match.index + match[0].length;
    const statement = code.slice(code.lastIndexOf(";", match.index) + 1, match.index);
    const isType = match[0].startsWith("from") && /\b(?:import|export)\s+type\b/.test(statement);
    return {
      specifier: source.slice(start, code.indexOf(code[start - 1]!, start)),
      line: lineAt(code, match.index),
      kind: match[0].startsWith("new URL") ? "worker" : isType ? "type" : "value",
    };
  });
}

export interface FunctionSpan {
  name: string;
  line: number;
  lines: number;
}

const NOT_A_FUNCTION = new Set(["if", "for", "while", "switch", "catch", "with", "return", "await", "typeof", "super"]);

/** Functions, methods and arrow functions with a body in braces. */
export function functionsOf(code: string): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  const add = (name: string, start: number, bodyStart: number) => {
    const line = lineAt(code, start);
    spans.push({ name, line, lines: lineAt(code, closing(code, bodyStart)) - line + 1 });
  };
  for (const match of code.matchAll(/=>\s*\{/g)) add("arrow function", match.index, match.index + match[0].length - 1);
  for (const match of code.matchAll(/([\w$#]+)\s*(?:<[^(){}]*>)?\(/g)) {
    if (NOT_A_FUNCTION.has(match[1]!)) continue;
    const body = bodyAfter(code, closing(code, match.index + match[0].length - 1) + 1);
    if (body !== undefined) add(match[1]!, match.index, body);
  }
  return spans;
}

const PAIRS: Readonly<Record<string, string>> = { "{": "}", "(": ")", "[": "]", "<": ">" };

/** What stands before a type or joins two. */
const TYPE_PREFIX = /^(?:asserts|keyof|readonly|typeof|unique|new|[|&])$/;
const TYPE_JOINT = /^(?:[|&?:]|=>|is|extends)$/;

/** Where the body begins that follows a parameter list, past a return type; undefined where none follows. */
function bodyAfter(code: string, from: number): number | undefined {
  let { token, at } = tokenAfter(code, from);
  if (token === "{") return at;
  let wantsType = false;
  while (token !== "") {
    const isGroup = token in PAIRS;
    if (wantsType) wantsType = TYPE_PREFIX.test(token);
    else if (token === "{") return at;
    else if (TYPE_JOINT.test(token)) wantsType = true;
    else if (token !== "<" && token !== "[") return undefined;
    ({ token, at } = tokenAfter(code, isGroup ? closing(code, at) + 1 : at + token.length));
  }
  return undefined;
}

function tokenAfter(code: string, from: number): { token: string; at: number } {
  const next = /\s*([\w$.]+|=>|\S|$)/y;
  next.lastIndex = from;
  const token = next.exec(code)?.[1] ?? "";
  return { token, at: next.lastIndex - token.length };
}

/** The position of the bracket that closes the one at `from`. */
function closing(code: string, from: number): number {
  const open = code[from]!;
  const close = PAIRS[open]!;
  let depth = 0;
  for (let i = from; i < code.length; i++) {
    if (code[i] === open) depth++;
    else if (code[i] === close && !(close === ">" && code[i - 1] === "=") && --depth === 0) return i;
  }
  return code.length;
}

export function lineAt(text: string, position: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < position; i = text.indexOf("\n", i + 1)) line++;
  return line;
}
