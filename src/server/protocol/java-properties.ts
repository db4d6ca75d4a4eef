/**
 * The text of a `java.util.Properties`, which configuration requests carry. Reading follows `Properties.load` (comments,
 * `=`, `:` or blank as separator, continued lines, escapes); writing follows Apache's MixAll.properties2String, which
 * escapes nothing.
 */
const BLANK = " \t\f";

/** Logical lines: comments and empty ones left out, continued ones joined. */
function* logicalLines(text: string): Generator<string> {
  let held = "";
  let continued = false;
  for (const raw of text.split(/\r\n|\n|\r/)) {
    const line = raw.replace(/^[ \t\f]+/, "");
    if (!continued && (line === "" || line.startsWith("#") || line.startsWith("!"))) continue;
    let end = line.length;
    while (end > 0 && line[end - 1] === "\\") end--;
    continued = (line.length - end) % 2 === 1;
    held += continued ? line.slice(0, -1) : line;
    if (continued) continue;
    yield held;
    held = "";
  }
  if (held !== "") yield held;
}

function unescaped(text: string): string {
  return text.replace(
    /\\(?:u([0-9a-fA-F]{4})|([\s\S]))/g,
    (_match, hex: string | undefined, char: string | undefined) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (char === "n") return "\n";
      if (char === "t") return "\t";
      if (char === "r") return "\r";
      return char === "f" ? "\f" : char!;
    },
  );
}

/** The name and the value of a logical line. */
function pairOf(line: string): [string, string] {
  let end = 0;
  while (end < line.length && line[end] !== "=" && line[end] !== ":" && !BLANK.includes(line[end]!)) {
    end += line[end] === "\\" ? 2 : 1;
  }
  const rest = line.slice(end).replace(/^[ \t\f]*[=:]?[ \t\f]*/, "");
  return [unescaped(line.slice(0, end)), unescaped(rest)];
}

/** A value as `Properties.load` reads it back; newlines can not break out of their line. */
function escapedValue(text: string): string {
  const escapes: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f" };
  return text.replace(/[\\\n\r\t\f]/g, (char) => escapes[char]!);
}

/**
 * The text with some values changed: of a property that is there, whichever way it is written, all lines go but the
 * first, which gets the new value; others come at the end. Everything else stays as it is.
 */
export function changeProperties(text: string, changes: ReadonlyMap<string, string>): string {
  const left = new Map(changes);
  const lines = text === "" ? [] : text.replace(/(\r\n|\n|\r)$/, "").split(/\r\n|\n|\r/);
  const kept: string[] = [];
  let isOpen = false;
  for (let i = 0; i < lines.length; ) {
    const from = i;
    const isComment = /^[ \t\f]*[#!]/.test(lines[from]!);
    do {
      isOpen = !isComment && /(^|[^\\])(\\\\)*\\$/.test(lines[i]!);
      i++;
    } while (isOpen && i < lines.length);
    const raw = lines.slice(from, i);
    const [logical] = logicalLines(raw.join("\n"));
    const name = logical === undefined ? undefined : pairOf(logical)[0];
    if (name === undefined || !changes.has(name)) {
      kept.push(...raw);
      continue;
    }
    const value = left.get(name);
    left.delete(name);
    if (value !== undefined) kept.push(`${name}=${escapedValue(value)}`);
  }
  // The last line goes on in the next one, which is not to be one of these.
  if (left.size > 0 && isOpen) kept.push("");
  for (const [name, value] of left) kept.push(`${name}=${escapedValue(value)}`);
  return kept.map((line) => `${line}\n`).join("");
}

export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const line of logicalLines(text)) {
    const [name, value] = pairOf(line);
    properties.set(name, value);
  }
  return properties;
}

/** One `name=value` a line, sorted by name. */
export function formatProperties(properties: ReadonlyMap<string, string | number | boolean>): string {
  const names = [...properties.keys()].sort();
  return names.map((name) => `${name}=${properties.get(name)}\n`).join("");
}
