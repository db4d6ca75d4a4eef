/** The completion script for zsh: to be sourced, or to lie in the fpath as \`_cometmq\`. */
import type { Flag, Node, Value } from "./tree.js";

export function zshScript(name: string, nodes: readonly Node[]): string {
  const paths = nodes.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `#compdef ${name}
# ${name} completion for zsh:  source <(${name} completion zsh), or this file as _${name} in a directory of $fpath
_${name}() {
  local at="" next prev="$words[CURRENT-1]" i
  local -a commands flags
  for ((i = 2; i < CURRENT; i++)); do
    next="\${at:+$at }$words[i]"
    case "$next" in
      (${paths.join("|")}) at="$next" ;;
    esac
  done
  case "$at" in
${nodes.map(nodeCase).join("\n")}
  esac
}
if [ "$funcstack[1]" = "_${name}" ]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function nodeCase({ path, children, flags, value }: Node): string {
  const valued = flags.filter((flag) => flag.value.kind !== "none");
  const cases = valued.map(({ names, value: own, isOptional }) => {
    const guard = isOptional ? '[[ "$PREFIX" != -* ]] && { ' : "";
    return `        (${names.join("|")}) ${guard}${values(own)}; return${isOptional ? " }" : ""} ;;`;
  });
  const described = flags.flatMap(flagWords);
  const rest =
    children.length > 0
      ? `commands=(${children.map(({ name, description }) => entry(name, description)).join(" ")}); _describe command commands`
      : values(value);
  const choice = cases.length === 0 ? "" : `      case "$prev" in\n${cases.join("\n")}\n      esac\n`;
  return `    (${quoted(path)})
${choice}      if [[ "$PREFIX" == -* ]]; then flags=(${described.join(" ")}); _describe -o option flags
      else ${rest}; fi ;;`;
}

function flagWords({ names, description }: Flag): string[] {
  return names.map((flag) => entry(flag, description));
}

function values({ kind, choices }: Value): string {
  if (kind === "choice") return `compadd -- ${choices.map(quoted).join(" ")}`;
  if (kind === "file") return "_files";
  return kind === "dir" ? "_files -/" : ":";
}

function entry(word: string, description: string): string {
  return quoted(`${word.replace(/:/g, "\\:")}:${description}`);
}

function quoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}
