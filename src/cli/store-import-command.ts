/** `cometmq store import DIR [FILE]`: stores messages that `export` wrote, in a store that exists or a new one. */
import type { Command } from "commander";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import { ImportClock, importMessages } from "../store/import-messages.js";
import { MessageStore } from "../store/message-store.js";
import { Interrupt } from "./interrupt.js";
import { textLinesFrom } from "./lines.js";
import { printError, printLine } from "./output.js";
import { Progress } from "./progress.js";
import { describeStore, givenDirectory } from "./store-facts.js";
import { ExitCode, runVerb, type StoreFlags, storeVerb } from "./store-run.js";
import { formatBytes, formatCount } from "./table.js";

const REFUSALS_SHOWN = 20;

interface ImportFlags extends StoreFlags {
  readonly keepStoreTime?: boolean;
}

export function addStoreImportCommand(store: Command): void {
  storeVerb(store, "import", "store messages from JSON lines as `export` writes them")
    .argument("[file]", "the lines; - for stdin", "-")
    .option("--keep-store-time", "store times as in the lines, as far as they do not decrease")
    .action((dir: string, file: string, flags: ImportFlags) => runVerb(() => run(dir, file, flags), true));
}

async function run(dir: string, file: string, flags: ImportFlags): Promise<ExitCode> {
  const root = givenDirectory(dir);
  const lines = textLinesFrom(file);
  const progress = new Progress("importing", formatCount);
  const interrupt = new Interrupt(() => progress.clear());
  const { facts, paths } = describeStore(new ReadOnlyDisk(), root, flags.conf);
  const clock = flags.keepStoreTime === true ? new ImportClock() : undefined;
  const store = await MessageStore.open({
    directory: root,
    commitLogDirectory: paths.commitLog,
    segmentBytes: facts.segmentBytes,
    queueFileBytes: facts.queueFileBytes,
    indexSizes: facts.indexSizes,
    indexEnabled: facts.indexEnabled,
    delayLevels: facts.delayLevels,
    clock,
  });
  let refusalsShown = 0;
  try {
    const report = await importMessages({
      store,
      lines: interrupt.until(lines),
      clock,
      refusedTopics: new Map([...facts.batchTopics].map((topic) => [topic, "its topic has batch queues"])),
      onRefused: (lineNumber, reason) => {
        if (++refusalsShown > REFUSALS_SHOWN) return;
        progress.clear();
        printError(`cometmq: line ${lineNumber}: ${reason}`);
      },
      onProgress: (count) => progress.update(count, count),
    });
    progress.clear();
    const { messageCount, bodyBytes, queueCount, refusedCount } = report;
    if (flags.json === true) printLine(JSON.stringify({ type: "imported", ...report }));
    else {
      printLine(`${formatCount(messageCount)} messages, ${formatBytes(bodyBytes)} of bodies, in ${queueCount} queues`);
      if (refusedCount > 0) printLine(`${formatCount(refusedCount)} lines were refused`);
    }
    if (interrupt.isAsked) {
      printError("cometmq: interrupted: the messages told of are stored, later lines are not");
      return ExitCode.INTERRUPTED;
    }
    return refusedCount === 0 ? ExitCode.FINE : ExitCode.FINDINGS;
  } finally {
    progress.clear();
    await store.close();
    interrupt.forget();
  }
}
