/** The completion script for fish 3 and later. */
import type { Flag, Node, Value } from "./tree.js";

export function fishScript(name: string, nodes: readonly Node[]): string {
  const paths = nodes.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# ${name} completion for fish:  ${name} completion fish | source
function __${name}_at
    set -l paths ${paths.join(" ")}
    set -l words (commandline -opc)
    set -l at ''
    for word in $words[2..-1]
        set -l next (string trim -- "$at $word")
        contains -- $next $paths; and set at $next
    end
    test "$at" = "$argv[1]"
end
complete -c ${name} -f
${nodes.map((node) => nodeLines(name, node)).join("\n")}
`;
}

function nodeLines(name: string, { path, children, flags, value }: Node): string {
  const head = `complete -c ${name} -n ${quoted(`__${name}_at '${path}'`)}`;
  const lines = children.map((child) => `${head} -a ${quoted(child.name)} -d ${quoted(child.description)}`);
  for (const flag of flags) lines.push(`${head} ${flagText(flag)}`);
  const own = children.length === 0 ? valueText(value) : "";
  if (own !== "") lines.push(`${head} ${own}`);
  return lines.join("\n");
}

function flagText({ names, description, value, isOptional }: Flag): string {
  const parts = names.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  // Where a value may be left out fish can not offer any and the flags as well.
  if (value.kind !== "none" && !isOptional) parts.push(value.kind === "file" ? "-r" : "-x", valueText(value));
  return [...parts, `-d ${quoted(description)}`].filter((part) => part !== "").join(" ");
}

function valueText({ kind, choices }: Value): string {
  if (kind === "choice") return `-a ${quoted(choices.join(" "))}`;
  if (kind === "file") return "-F";
  return kind === "dir" ? "-a '(__fish_complete_directories)'" : "";
}

function quoted(text: string): string {
  return `'${text.replace(/\\/g, "\\\\").replace(/'/g, "\\'")}'`;
}
