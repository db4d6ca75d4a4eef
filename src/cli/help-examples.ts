/** What `--help` shows below the flags: calls that can be copied. By the words of the verb. */
import type { Command } from "commander";

export const HELP_EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  cometmq: [
    "cometmq start --data ./data",
    "cometmq topic create orders",
    "cometmq produce orders hello",
    "cometmq consume orders",
  ],
  "cometmq start": [
    "cometmq start --data ./data",
    "cometmq start -c broker.conf --host 0.0.0.0",
    "cometmq start --data ./data --namesrv-port 0 --broker-port 0 --json",
  ],
  "cometmq namesrv": ["cometmq namesrv --host 0.0.0.0 --data ./names"],
  "cometmq broker": ["cometmq broker -c broker.conf --data ./data --namesrv '10.0.0.1:9876;10.0.0.2:9876'"],
  "cometmq topic create": ["cometmq topic create orders --queues 4", "cometmq topic create ledger --type FIFO"],
  "cometmq topic update": ["cometmq topic update orders --perm r"],
  "cometmq group create": ["cometmq group create billing --retries 3"],
  "cometmq produce": [
    "cometmq produce orders '{\"id\":1}' --key 1 --tag new",
    "seq 1000 | cometmq produce orders",
    "cometmq produce orders --file a.json b.json",
    "cometmq produce orders later --delay 2h",
  ],
  "cometmq consume": [
    "cometmq consume orders --from 10m --json",
    "cometmq consume orders -f --tags 'new || paid'",
    "cometmq consume orders --group billing --count 100",
  ],
  "cometmq message id": ["cometmq message id 7F00000100002A9F0000000000000000 --json"],
  "cometmq message key": ["cometmq message key orders 1 --json"],
  "cometmq message time": ["cometmq message time orders --from 2026-01-31T12:00Z --to 2026-01-31T13:00Z"],
  "cometmq lag": ["cometmq lag", "cometmq lag billing --max 100 || echo behind"],
  "cometmq offset reset": [
    "cometmq offset reset billing orders --to 2026-01-31T12:00Z --dry-run",
    "cometmq offset reset billing orders --to first",
  ],
  "cometmq dlq list": ["cometmq dlq list billing --json"],
  "cometmq dlq redrive": ["cometmq dlq redrive billing --count 10"],
  "cometmq timer list": ["cometmq timer list", "cometmq timer list reminders --json"],
  "cometmq config get": ["cometmq config get flushDiskType fileReservedTime"],
  "cometmq config set": ["cometmq config set fileReservedTime=48 --broker broker-a"],
  "cometmq store inspect": ["cometmq store inspect ./data --count --picture"],
  "cometmq store verify": ["cometmq store verify ./data --digests before.digests"],
  "cometmq store repair": ["cometmq store repair ./data", "cometmq store repair ./data --yes"],
  "cometmq store export": ["cometmq store export ./data --topic orders --from 2026-01-31T12:00Z > orders.jsonl"],
  "cometmq store import": ["cometmq store import ./new orders.jsonl"],
  "cometmq bench send": ["cometmq bench send --connections 8 --in-flight 128 --duration 10 --json send.json"],
  "cometmq bench e2e": ["cometmq bench e2e --rate 2000 --json before.json --html before.html"],
  "cometmq bench compare": ["cometmq bench compare before.json after.json --fail-above 1.1"],
};

/** Gives `command` and those below it their examples. */
export function addHelpExamples(command: Command, words: string = command.name()): void {
  const examples = HELP_EXAMPLES[words];
  if (examples !== undefined) command.addHelpText("after", `\n${examplesText(examples)}`);
  for (const child of command.commands) addHelpExamples(child, `${words} ${child.name()}`);
}

export function examplesText(examples: readonly string[]): string {
  return `Examples:\n${examples.map((example) => `  ${example}`).join("\n")}`;
}
