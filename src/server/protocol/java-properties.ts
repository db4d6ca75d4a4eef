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

export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const line of logicalLines(text)) {
    let end = 0;
    while (end < line.length && line[end] !== "=" && line[end] !== ":" && !BLANK.includes(line[end]!)) {
      end += line[end] === "\\" ? 2 : 1;
    }
    const rest = line.slice(end).replace(/^[ \t\f]*[=:]?[ \t\f]*/, "");
    properties.set(unescaped(line.slice(0, end)), unescaped(rest));
  }
  return properties;
}

/** One `name=value` a line, sorted by name. */
export function formatProperties(properties: ReadonlyMap<string, string | number | boolean>): string {
  const names = [...properties.keys()].sort();
  return names.map((name) => `${name}=${properties.get(name)}\n`).join("");
}
