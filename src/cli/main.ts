/** The `cometmq` command. */
import { CometError } from "../base/errors.js";
import { printError } from "./output.js";
import { cometmqProgram } from "./program.js";

cometmqProgram()
  .parseAsync()
  .catch((error: unknown) => {
    // What a person can act on is one line; anything else is a fault of ours and keeps its stack.
    if (error instanceof CometError) printError(`cometmq: ${error.message} (${error.code})`);
    else printError(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  });
