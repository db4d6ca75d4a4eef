/** `cometmq completion bash | zsh | fish`: a script that completes what is typed, made of the commands themselves. */
import { Argument, type Command } from "commander";
import { bashScript } from "./completion/bash.js";
import { fishScript } from "./completion/fish.js";
import { nodesOf } from "./completion/tree.js";
import { zshScript } from "./completion/zsh.js";
import { endOfUsage } from "./remote/remote-verb.js";
import { ExitCode, runVerb, writeOut } from "./store-run.js";

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript };
type Shell = keyof typeof SHELLS;

export function addCompletionCommand(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands and flags: source <(cometmq completion bash)")
    .addArgument(new Argument("<shell>", "whose script").choices(Object.keys(SHELLS)))
    .exitOverride(endOfUsage)
    .action((shell: Shell) =>
      runVerb(async () => {
        await writeOut(SHELLS[shell](program.name(), nodesOf(program)));
        return ExitCode.FINE;
      }),
    );
}
