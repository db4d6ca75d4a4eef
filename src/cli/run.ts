/** What every serving verb has in common: a log on stderr, and an orderly end on SIGTERM and SIGINT. */
import { createRequire } from "node:module";
import type * as Pino from "pino";
import { systemClock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import type { CometError } from "../base/errors.js";
import type { RecoveryProgress } from "../recovery/recover.js";
import type { Standalone, StandaloneOptions } from "../server/standalone.js";
import { printError } from "./output.js";
import { goOnWithoutOutput } from "./store-run.js";

const GIB = 1024 ** 3;
/** For what a process that failed still has to do. */
const CLOSE_MS_MAX = 10_000;

type Level = keyof Logger;
const LEVELS: readonly string[] = ["debug", "info", "warn", "error"] satisfies Level[];
const DEFAULT_LEVEL = "warn";
/** A server is ready by then. */
const LOAD_AFTER_MS = 2000;

/** The server is loaded for the verbs that serve, and no other waits for it. */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { Standalone } = await import("../server/standalone.js");
  return Standalone.start(options);
}

/**
 * JSON lines on stderr; COMETMQ_LOG_LEVEL sets how much (warn by default). Pino is loaded when a server has started, or for
 * the first line before that; where it cannot be, for want of a file handle, lines have the least they need.
 */
export function processLogger(): Logger {
  const level = process.env.COMETMQ_LOG_LEVEL ?? DEFAULT_LEVEL;
  const lowest = LEVELS.indexOf(level);
  if (lowest < 0) return pinoLogger(level);
  let made: Logger | undefined;
  const load = (): Logger | undefined => {
    try {
      made ??= pinoLogger(level);
    } catch {
      // The line that is due matters more.
    }
    return made;
  };
  setTimeout(load, LOAD_AFTER_MS).unref();
  const said = (name: Level): Logger["warn"] => {
    if (LEVELS.indexOf(name) < lowest) return () => {};
    return (fields, message) => (load() ?? plainLogger)[name](fields, message);
  };
  return { debug: said("debug"), info: said("info"), warn: said("warn"), error: said("error") };
}

function pinoLogger(level: string): Logger {
  const { pino } = createRequire(import.meta.url)("pino") as typeof Pino;
  return pino({ level }, pino.destination({ dest: 2, sync: true }));
}

/** Lines as pino's, of the error's message alone. */
const plainLogger = Object.fromEntries(
  LEVELS.map((name, i) => {
    const say = (fields: object, msg: string): void => {
      const { err, ...rest } = fields as { readonly err?: unknown };
      const error = err instanceof Error ? { err: { message: err.message } } : {};
      printError(
        JSON.stringify({ level: 20 + 10 * i, time: systemClock.nowMs(), pid: process.pid, ...rest, ...error, msg }),
      );
    };
    return [name, say];
  }),
) as unknown as Logger;

/**
 * Ends the process in order at the first signal, at once at the second. Installed before anything is open, so that a
 * signal during start-up is honoured as soon as what it waits for is there. What a server serves does not end with who
 * read its first line.
 */
export function closeOnSignals(close: () => Promise<void>): void {
  goOnWithoutOutput();
  let asked = false;
  const end = (signal: NodeJS.Signals): void => {
    if (asked) {
      printError(`cometmq: second ${signal}, ended at once`);
      process.exit(130);
    }
    asked = true;
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        printError(`cometmq: closing failed: ${error instanceof Error ? error.message : String(error)}`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
  // A terminal that goes says so more than once: by the kernel, and by the shell.
  process.on("SIGHUP", (signal) => {
    if (!asked) end(signal);
  });
}

/** A long recovery tells how far it is, once a second. */
export function recoveryReporter(): (progress: RecoveryProgress) => void {
  let lastMs = performance.now();
  return ({ phyOffset, fromOffset, toOffset }) => {
    const now = performance.now();
    if (now - lastMs < 1000) return;
    lastMs = now;
    const done = (phyOffset - fromOffset) / GIB;
    const all = (toOffset - fromOffset) / GIB;
    printError(`cometmq: recovering the log: ${done.toFixed(2)} of at most ${all.toFixed(2)} GiB read`);
  };
}

/**
 * A store that turned read-only is told once, in a sentence, and goes on to serve readers. One that has lost a thread ends
 * the process with it, as nobody knows what that had begun: who started it starts it again, and the store recovers.
 */
export function failureReporter(close: () => Promise<void>): (error: CometError) => void {
  return (error) => {
    printError(`cometmq: ${error.message} (${error.code})`);
    if ((error.cause as CometError | undefined)?.code !== "COMETMQ_THREAD") return;
    const end = () => process.exit(1);
    setTimeout(end, CLOSE_MS_MAX).unref();
    close().then(end, end);
  };
}
