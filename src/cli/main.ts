/** The `cometmq` command: a table of verbs, each in a file of its own. */
import { Command } from "commander";
import { CometError } from "../base/errors.js";
import { printError } from "./output.js";
import { addBenchCommand } from "./bench-command.js";
import { addBrokerCommand } from "./broker-command.js";
import { addNamesrvCommand } from "./namesrv-command.js";
import { addStartCommand } from "./start-command.js";
import { addStoreCommand } from "./store-command.js";

const program = new Command("cometmq")
  .description("RocketMQ for TypeScript: name server, broker and storage engine in one process")
  .showHelpAfterError("(see --help)");

addStartCommand(program);
addNamesrvCommand(program);
addBrokerCommand(program);
addBenchCommand(program);
addStoreCommand(program);

program.parseAsync().catch((error: unknown) => {
  // What a person can act on is one line; anything else is a fault of ours and keeps its stack.
  if (error instanceof CometError) printError(`cometmq: ${error.message} (${error.code})`);
  else printError(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exit(1);
});
