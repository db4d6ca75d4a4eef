/** The table of verbs: each is in a file of its own. */
import { join } from "node:path";
import { Command } from "commander";
import { FileDisk } from "../io/file-disk.js";
import { addBenchCommand } from "./bench-command.js";
import { addBrokerCommand } from "./broker-command.js";
import { addCompletionCommand } from "./completion-command.js";
import { addConfigCommand } from "./config-command.js";
import { addConsumeCommand } from "./consume-command.js";
import { addDlqCommand } from "./dlq-command.js";
import { addGroupCommand } from "./group-command.js";
import { addHelpExamples } from "./help-examples.js";
import { addLagCommand } from "./lag-command.js";
import { addMessageCommand } from "./message-command.js";
import { addNamesrvCommand } from "./namesrv-command.js";
import { addOffsetCommand } from "./offset-command.js";
import { addProduceCommand } from "./produce-command.js";
import { endOfUsage } from "./remote/remote-verb.js";
import { addStartCommand } from "./start-command.js";
import { addStoreCommand } from "./store-command.js";
import { addTimerCommand } from "./timer-command.js";
import { addTopicCommand } from "./topic-command.js";

/** Usage errors, here and in every verb, end with 2. */
export function cometmqProgram(): Command {
  const program = new Command("cometmq")
    .version(packageVersion())
    .description("RocketMQ for TypeScript: name server, broker and storage engine in one process")
    .showHelpAfterError("(see --help)");
  for (const add of [addStartCommand, addNamesrvCommand, addBrokerCommand]) add(program);
  for (const add of [addTopicCommand, addGroupCommand, addProduceCommand, addConsumeCommand]) add(program);
  for (const add of [addMessageCommand, addLagCommand, addOffsetCommand, addDlqCommand, addTimerCommand]) add(program);
  for (const add of [addConfigCommand, addStoreCommand, addBenchCommand, addCompletionCommand]) add(program);
  addHelpExamples(program);
  endWithUsage(program);
  return program;
}

function endWithUsage(command: Command): void {
  command.exitOverride(endOfUsage);
  for (const child of command.commands) endWithUsage(child);
}

function packageVersion(): string {
  const path = join(import.meta.dirname, "..", "..", "package.json");
  const content = new FileDisk("file").readFile(path)?.toString("utf8") ?? "{}";
  return (JSON.parse(content) as { version?: string }).version ?? "unknown";
}
