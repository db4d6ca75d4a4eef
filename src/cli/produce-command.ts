/** `cometmq produce`: messages from arguments, from lines of stdin, from files. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { CometError } from "../base/errors.js";
import { readInput } from "../io/input.js";
import { PropertyName } from "../record/property-names.js";
import { Interrupt } from "./interrupt.js";
import { linesFrom } from "./lines.js";
import { printError } from "./output.js";
import { onCluster, type Remote, remoteVerb, wholeInt, wholeNumber } from "./remote/remote-verb.js";
import { ExitCode } from "./store-run.js";
import { type OutgoingMessage, Sender, type SentMessage } from "./remote/sender.js";

/** Under way at a time. */
const WINDOW = 256;

interface ProduceFlags {
  readonly file?: readonly string[];
  readonly lines?: string;
  readonly tag?: string;
  readonly key?: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly delay?: number;
  readonly delayLevel?: number;
  readonly orderKey?: string;
  readonly queue?: number;
  readonly firstQueue?: number;
}

export function addProduceCommand(program: Command): void {
  const verb = remoteVerb(program, "produce <topic> [body...]", "send messages: each body, else each line of stdin")
    .option("--lines <file>", "each line of a file; - is stdin")
    .option("--file <file...>", "each file, whole")
    .option("--tag <tag>", "their tag")
    .option("--key <key>", "their key, or several between blanks")
    .option("--property <name=value>", "a property of theirs; as often as needed", property)
    .option("--delay <time>", "deliver after 500ms, 10s, 5m, 2h or 1d", delay)
    .option("--delay-level <n>", "deliver after the time of a delay level", wholeInt)
    .option("--order-key <key>", "all to the queue of this key")
    .option("--queue <id>", "all to this queue", wholeNumber)
    .addOption(
      new Option("--first-queue <id>", "queues in turn from this one (default: from any)")
        .env("COMETMQ_FIRST_QUEUE")
        .argParser(wholeNumber),
    );
  onCluster(verb, produce);
}

function property(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError("A property is name=value.");
  if (text.includes("\u0001") || text.includes("\u0002"))
    throw new InvalidArgumentError("U+0001 and U+0002 separate properties.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

const DELAY_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function delay(text: string): number {
  const [, count, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError("A time is 500ms, 10s, 5m, 2h or 1d.");
  return Number(count) * DELAY_MS[unit!]!;
}

/** What can be no file is refused before anything is sent. */
function bodiesOf(bodies: readonly string[], { file = [], lines }: ProduceFlags): AsyncGenerator<Buffer> {
  const source = lines ?? (bodies.length === 0 && file.length === 0 ? "-" : undefined);
  return eachBody(bodies, file, source === undefined ? [] : linesFrom(source));
}

async function* eachBody(
  bodies: readonly string[],
  files: readonly string[],
  lines: AsyncIterable<Buffer> | Iterable<Buffer>,
): AsyncGenerator<Buffer> {
  for (const body of bodies) yield filled(Buffer.from(body), "An argument");
  for (const path of files) yield filled(await readInput(path), path);
  for await (const line of lines) if (line.length > 0) yield line;
}

/** Brokers take no message without a body; Apache's say so with a stack. */
function filled(body: Buffer, from: string): Buffer {
  if (body.length > 0) return body;
  throw new CometError("COMETMQ_CONFIG", `${from} is empty: a message has a body of at least one byte.`);
}

function propertiesOf({
  tag,
  key,
  property: given = {},
  delay: delayMs,
  delayLevel,
}: ProduceFlags): Record<string, string> {
  return {
    ...(key === undefined ? {} : { [PropertyName.KEYS]: key }),
    ...(tag === undefined ? {} : { [PropertyName.TAGS]: tag }),
    ...(delayMs === undefined ? {} : { [PropertyName.TIMER_DELAY_MS]: String(delayMs) }),
    ...(delayLevel === undefined ? {} : { [PropertyName.DELAY_TIME_LEVEL]: String(delayLevel) }),
    ...given,
  };
}

async function produce(
  remote: Remote<ProduceFlags>,
  topic: string,
  bodies: readonly string[],
): Promise<ExitCode | undefined> {
  const { cluster, flags } = remote;
  const source = bodiesOf(bodies, flags);
  const sender = await Sender.open(cluster, topic, { firstQueue: flags.firstQueue });
  const isTyped = bodies.length === 0 && flags.file === undefined && flags.lines === undefined && process.stdin.isTTY;
  if (isTyped) printError("cometmq: a message a line; Ctrl-D ends");
  const message: Omit<OutgoingMessage, "body"> = {
    properties: propertiesOf(flags),
    orderKey: flags.orderKey,
    queueId: flags.queue,
  };
  let sentCount = 0;
  const show = async (sent: SentMessage): Promise<void> => {
    sentCount++;
    if (flags.json) await remote.line(sent);
    else if (bodies.length > 0)
      await remote.say(`${sent.msgId}  ${sent.brokerName} queue ${sent.queueId} offset ${sent.queueOffset}`);
  };
  const window: Promise<SentMessage>[] = [];
  const interrupt = new Interrupt();
  let failure: unknown;
  const heardOf = async (sending: Promise<SentMessage>): Promise<void> => {
    try {
      await show(await sending);
    } catch (error) {
      failure ??= error;
    }
  };
  try {
    for await (const body of interrupt.until(source)) {
      const sending = sender.send({ ...message, body });
      // Who fails is heard of in turn; until then it is nobody's unhandled rejection.
      sending.catch(() => {});
      window.push(sending);
      if (window.length >= WINDOW) await heardOf(window.shift()!);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= error;
  }
  // What was under way when one failed is perhaps stored: it is told of, too.
  for (const sending of window) await heardOf(sending);
  interrupt.forget();
  if (failure instanceof CometError && sentCount > 0)
    failure.message = `${countText(sentCount)} sent. ${failure.message}`;
  if (failure !== undefined) throw failure;
  if (bodies.length === 0) await remote.say(`${countText(sentCount)} sent to ${topic}`);
  return interrupt.isAsked ? ExitCode.INTERRUPTED : undefined;
}

function countText(count: number): string {
  return `${count} ${count === 1 ? "message" : "messages"}`;
}
