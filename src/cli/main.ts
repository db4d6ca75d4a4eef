/** The `cometmq` command. */
import { CometError } from "../base/errors.js";
import { printError } from "./output.js";
import { cometmqProgram } from "./program.js";
import { ExitCode, watchOutput } from "./store-run.js";

const OF_PROGRAM = ["-h", "--help", "-V", "--version"];
const given = process.argv.slice(2);
const [first] = given;
/** Without a verb it starts; a word that is none is told apart from that. */
const isStart = first === undefined || (first.startsWith("-") && !OF_PROGRAM.includes(first));

watchOutput();
cometmqProgram()
  .parseAsync(isStart ? ["start", ...given] : given, { from: "user" })
  .catch((error: unknown) => {
    // What a person can act on is one line; anything else is a fault of ours and keeps its stack.
    if (error instanceof CometError) printError(`cometmq: ${error.message} (${error.code})`);
    else printError(error instanceof Error ? (error.stack ?? error.message) : String(error));
    const isUsage = error instanceof CometError && error.code === "COMETMQ_CONFIG";
    process.exit(isUsage ? ExitCode.COULD_NOT_RUN : ExitCode.FINDINGS);
  });
