/** `cometmq store …`: tools for a store directory, Apache's as well as ours. Each verb is in a file of its own. */
import type { Command } from "commander";
import { addStoreDumpCommand } from "./store-dump-command.js";
import { addStoreExportCommand } from "./store-export-command.js";
import { addStoreImportCommand } from "./store-import-command.js";
import { addStoreInspectCommand } from "./store-inspect-command.js";
import { addStoreRepairCommand } from "./store-repair-command.js";
import { addStoreVerifyCommand } from "./store-verify-command.js";

export function addStoreCommand(program: Command): void {
  const store = program.command("store").description("look at a store, check it, mend it");
  addStoreInspectCommand(store);
  addStoreDumpCommand(store);
  addStoreVerifyCommand(store);
  addStoreRepairCommand(store);
  addStoreExportCommand(store);
  addStoreImportCommand(store);
}
