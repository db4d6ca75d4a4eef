/** `cometmq consume`: messages of a topic, as they are and as they come. */
import { type Command, Option } from "commander";
import { watchReader } from "../io/output-reader.js";
import { offsetOfPlace, PLACE_TEXT, type Place, parsePlace } from "./offset-command.js";
import { printError } from "./output.js";
import type { Cluster, QueueEntry } from "./remote/cluster.js";
import { bodyLine, shownMessage } from "./remote/message-text.js";
import {
  checkFilter,
  commitOffset,
  committedOffset,
  followQueues,
  maxOffset,
  type QueueRange,
  type ReadMessage,
  type ReadOptions,
  readRanges,
  TOOLS_GROUP,
} from "./remote/queue-reader.js";
import { onCluster, positiveNumber, type Remote, remoteVerb, wholeNumber } from "./remote/remote-verb.js";
import { ExitCode, isTerminal, writeOut } from "./store-run.js";
import { formatTime } from "./table.js";

const SAID_AGAIN_MS = 5000;
const STDOUT_FD = 1;

interface ConsumeFlags {
  readonly follow?: boolean;
  readonly from?: Place;
  readonly count?: number;
  readonly tags?: string;
  readonly sql?: string;
  readonly group?: string;
  readonly queue?: number;
  readonly bodyOnly?: boolean;
}

export function addConsumeCommand(program: Command): void {
  const verb = remoteVerb(program, "consume <topic>", "show messages: those that are there, or with -f those that come")
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .option("--from <place>", `${PLACE_TEXT} (default: first, with -f end)`, parsePlace)
    .option("--count <n>", "stop after so many", positiveNumber)
    .option("--tags <tags>", "with one of these tags: a || b")
    .addOption(new Option("--sql <expression>", "whose properties fit an SQL92 expression").conflicts("tags"))
    .option("--group <group>", "from where this group is, and commit what is shown for it")
    .option("--queue <id>", "of this queue only", wholeNumber)
    .option("--body-only", "bodies alone, a line each");
  onCluster(verb, consume);
}

/** One run: what is shown, and how far each queue has been. */
class Consumption {
  /** Resolves when nothing more is wanted. */
  readonly stopped: Promise<void>;
  readonly #remote: Remote<ConsumeFlags>;
  readonly #stop = new AbortController();
  /** By queue, the next to consume and not committed yet. */
  readonly #uncommitted = new Map<QueueEntry, number>();
  #shownCount = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(remote: Remote<ConsumeFlags>) {
    this.#remote = remote;
    const { signal } = this.#stop;
    this.stopped = new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isDone(): boolean {
    return this.#stop.signal.aborted;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Queues take turns: a message is shown whole, and no more than were asked for. */
  take(messages: readonly ReadMessage[]): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      for (const message of messages) await this.#takeOne(message);
    });
    return this.#writing;
  }

  async #takeOne({ queue, message }: ReadMessage): Promise<void> {
    const { flags } = this.#remote;
    if (this.isDone) return;
    const shown = await shownMessage(message);
    if (flags.json) await this.#remote.line(shown);
    else if (flags.bodyOnly || !isTerminal()) await writeOut(`${bodyLine(shown)}\n`);
    else {
      const place = `${formatTime(message.storeTimestamp)}  ${queue.brokerName}/${queue.queueId}/${message.queueOffset}`;
      await writeOut(`${place}  ${shown.tags === undefined ? "" : `[${shown.tags}] `}${bodyLine(shown)}\n`);
    }
    this.#uncommitted.set(queue, message.queueOffset + 1);
    this.#shownCount++;
    if (this.#shownCount >= (flags.count ?? Number.POSITIVE_INFINITY)) this.stop();
  }

  /** What was shown is consumed, for a group. */
  async commit(): Promise<void> {
    const { cluster, flags } = this.#remote;
    await this.#writing;
    const entries = [...this.#uncommitted];
    this.#uncommitted.clear();
    if (flags.group === undefined) return;
    for (const [queue, offset] of entries) await commitOffset(cluster, flags.group, queue, offset);
  }
}

async function consume(remote: Remote<ConsumeFlags>, topic: string): Promise<ExitCode | undefined> {
  const { cluster, flags } = remote;
  const run = new Consumption(remote);
  let isInterrupted = false;
  const stop = (): void => {
    isInterrupted = !run.isDone;
    run.stop();
    // Who waits for messages is not to be waited for; asked twice, nothing is.
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    const { sql, tags = "*", group = TOOLS_GROUP } = flags;
    const options = { group, expression: sql ?? tags, isSql: sql !== undefined };
    const finding = findRanges(remote, topic, options);
    const ranges = (await Promise.race([finding, run.stopped])) ?? [];
    finding.catch(() => {});
    for await (const message of readRanges(cluster, ranges, options)) {
      await run.take([message]);
      if (run.isDone) break;
    }
    await run.commit();
    if (flags.follow && !run.isDone) await follow(remote, run, ranges, options);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
  // Who follows has no other end than Ctrl-C.
  return isInterrupted && !flags.follow ? ExitCode.INTERRUPTED : undefined;
}

async function findRanges(
  { cluster, flags }: Remote<ConsumeFlags>,
  topic: string,
  options: ReadOptions,
): Promise<QueueRange[]> {
  const queues = await cluster.readQueues(topic, flags.queue);
  const ranges = await Promise.all(queues.map((queue) => rangeOf(cluster, queue, flags)));
  await checkFilter(cluster, queues, options);
  return ranges;
}

async function rangeOf(cluster: Cluster, queue: QueueEntry, flags: ConsumeFlags): Promise<QueueRange> {
  const to = await maxOffset(cluster, queue);
  const isOfGroup = flags.group !== undefined && flags.from === undefined;
  const committed = isOfGroup ? await committedOffset(cluster, flags.group!, queue) : undefined;
  const place = flags.from ?? (flags.follow && !isOfGroup ? "end" : "first");
  return { queue, from: committed ?? (await offsetOfPlace(cluster, queue, place)), to };
}

async function follow(
  remote: Remote<ConsumeFlags>,
  run: Consumption,
  ranges: readonly QueueRange[],
  options: ReadOptions,
): Promise<void> {
  const { cluster } = remote;
  const starts = ranges.map(({ queue, from, to }) => ({ queue, from: Math.max(from, to) }));
  const take = async (messages: readonly ReadMessage[]): Promise<void> => {
    await run.take(messages);
    if (!run.isDone) await run.commit();
  };
  let [said, saidMs] = ["", 0];
  const following = followQueues(cluster, starts, options, run.signal, take, (error) => {
    // Every queue of a broker has its trouble.
    if (said === error.message && performance.now() - saidMs < SAID_AGAIN_MS) return;
    [said, saidMs] = [error.message, performance.now()];
    printError(`cometmq: ${error.message} It is tried again. (${error.code})`);
  });
  const unwatch = watchReader(STDOUT_FD, () => run.stop());
  // Pulls that wait at brokers end with their connections, which the verb closes.
  await Promise.race([following, run.stopped]).finally(unwatch);
  following.catch(() => {});
  await run.commit();
}
