/** The completion script for bash 3.2 and later; it needs no package of completions. */
import type { Node, Value } from "./tree.js";

export function bashScript(name: string, nodes: readonly Node[]): string {
  const fn = `_${name}_completion`;
  const reply = `_${name}_reply`;
  const paths = nodes.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  return `# ${name} completion for bash:  source <(${name} completion bash)
${reply}() {
  local IFS=$'\\n'
  if [[ "$1" != "-W" ]]; then compopt -o filenames 2>/dev/null; fi
  COMPREPLY=($(IFS=$' \\t\\n'; compgen "$@" -- "$cur"))
}
${fn}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" at="" next i
  # --flag=value comes as three words.
  if [[ "$cur" == "=" ]]; then cur=""; elif [[ "$prev" == "=" ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${at:+$at }\${COMP_WORDS[i]}"
    case "$next" in
      ${paths.join(" | ")}) at="$next" ;;
    esac
  done
  COMPREPLY=()
  case "$at" in
${nodes.map((node) => nodeCase(reply, node)).join("\n")}
  esac
}
complete -F ${fn} ${name}
`;
}

function nodeCase(reply: string, { path, children, flags, value }: Node): string {
  const words = flags.flatMap(({ names }) => names);
  const cases = flags
    .filter((flag) => flag.value.kind !== "none")
    .map(({ names, value: own, isOptional }) => {
      const deed = `${compgen(reply, own)}; return`;
      return `        ${names.join(" | ")}) ${isOptional ? `if [[ "$cur" != -* ]]; then ${deed}; fi` : deed} ;;`;
    });
  const rest =
    children.length > 0
      ? wordList(
          reply,
          children.map((child) => child.name),
        )
      : compgen(reply, value);
  const choice = cases.length === 0 ? "" : `      case "$prev" in\n${cases.join("\n")}\n      esac\n`;
  return `    "${path}")
${choice}      if [[ "$cur" == -* ]]; then ${wordList(reply, words)}
      else ${rest}; fi ;;`;
}

function compgen(reply: string, { kind, choices }: Value): string {
  if (kind === "choice") return wordList(reply, choices);
  if (kind === "file") return `${reply} -f`;
  return kind === "dir" ? `${reply} -d` : ":";
}

function wordList(reply: string, words: readonly string[]): string {
  return `${reply} -W "${words.join(" ")}"`;
}
