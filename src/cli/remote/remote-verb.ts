/**
 * What the verbs that talk to a cluster have in common: their flags, the cluster, output for people or as JSON lines, and
 * the exit codes: 0 done, 1 refused or not found, 2 could not be asked.
 */
import { type Command, type CommanderError, InvalidArgumentError, Option } from "commander";
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import type { Credentials } from "../../remoting/request-signer.js";
import { tlsClientOptions } from "../../server/broker/tls-config.js";
import { readTlsFile, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "../options.js";
import { printError } from "../output.js";
import { ExitCode, isTerminal, reportError, runVerb, writeOut } from "../store-run.js";
import { type Cell, type Column, renderPairs, renderTable } from "../table.js";
import { Cluster } from "./cluster.js";

const NAMESRV = "127.0.0.1:9876";
const TIMEOUT_MS = 5000;

export interface RemoteFlags {
  readonly namesrv: string;
  readonly timeout: number;
  readonly json?: boolean;
  readonly tlsConfig?: string;
  readonly accessKey?: string;
  readonly secretKey?: string;
}

/** A column of a list: its head, and what a row has there. */
export interface Shown<Row> extends Column {
  readonly cell: (row: Row) => Cell;
}

export class Remote<Flags> {
  readonly cluster: Cluster;
  readonly flags: Flags & RemoteFlags;

  constructor(cluster: Cluster, flags: Flags & RemoteFlags) {
    this.cluster = cluster;
    this.flags = flags;
  }

  /** A JSON line each, or a table. */
  async rows<Row extends object>(rows: readonly Row[], columns: readonly Shown<Row>[]): Promise<void> {
    if (this.flags.json) {
      for (const row of rows) await this.line(row);
      return;
    }
    const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
    await writeOut(`${renderTable(columns, cells, isTerminal())}\n`);
  }

  async line(row: object): Promise<void> {
    await writeOut(`${JSON.stringify(row)}\n`);
  }

  /** Members of one thing: a JSON line, or name by name. */
  async pairs(row: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.flags.json) {
      await this.line(row);
      return;
    }
    const shown = Object.entries(row).filter(([, value]) => value !== undefined);
    const texts = shown.map(
      ([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)] as const,
    );
    await writeOut(`${renderPairs(texts, isTerminal())}\n`);
  }

  /** For what is not done, and why: the verb ends with what this returns. */
  refuse(text: string): ExitCode {
    printError(`cometmq: ${text}`);
    return ExitCode.FINDINGS;
  }

  /** A word about what was done, for people. */
  async say(text: string): Promise<void> {
    if (!this.flags.json) await writeOut(`${text}\n`);
  }
}

/** A word that has verbs below it. */
export function verbGroup(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).exitOverride(endOfUsage);
}

/** How a verb ends that was called in a wrong way, or asked for its help. */
export function endOfUsage(error: CommanderError): never {
  process.exit(error.exitCode === 0 ? ExitCode.FINE : ExitCode.COULD_NOT_RUN);
}

/** A verb with the flags of all. Those of its own are added to what is returned. */
export function remoteVerb(parent: Command, nameAndArguments: string, description: string): Command {
  return clusterVerb(parent, nameAndArguments, description).option("--json", "JSON lines instead of tables");
}

/** The same for one whose results are something else than lines. */
export function clusterVerb(parent: Command, nameAndArguments: string, description: string): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .addOption(
      new Option("--namesrv <addresses>", "name servers: host:port, several between semicolons")
        .env("NAMESRV_ADDR")
        .default(NAMESRV),
    )
    .option("--timeout <ms>", "longest wait for an answer", positiveNumber, TIMEOUT_MS)
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .addOption(new Option("--access-key <name>", "user whose requests these are").env("COMETMQ_ACCESS_KEY"))
    .addOption(
      new Option("--secret-key <password>", "of this user; better in the environment").env("COMETMQ_SECRET_KEY"),
    )
    .exitOverride(endOfUsage);
}

/** What the verb does. It may return nothing when all is done. */
export function onCluster<Flags, Args extends unknown[]>(
  verb: Command,
  run: (remote: Remote<Flags>, ...args: Args) => Promise<ExitCode | undefined>,
): void {
  verb.action((...given: unknown[]) => {
    const flags = verb.opts() as Flags & RemoteFlags;
    const args = given.slice(0, -2) as Args;
    return runVerb(async () => {
      const { namesrv, timeout: timeoutMs } = flags;
      await using cluster = new Cluster({ namesrv, timeoutMs, tls: tlsOf(flags), credentials: credentialsOf(flags) });
      return (await told(() => run(new Remote(cluster, flags), ...args))) ?? ExitCode.FINE;
    });
  });
}

function credentialsOf({ accessKey = "", secretKey = "" }: RemoteFlags): Credentials | undefined {
  if (accessKey === "" && secretKey === "") return undefined;
  if (accessKey !== "" && secretKey !== "") return { accessKey, secretKey };
  const [given, missing] = accessKey === "" ? ["--secret-key", "--access-key"] : ["--access-key", "--secret-key"];
  throw new CometError("COMETMQ_CONFIG", `${given} needs ${missing}, too.`);
}

function tlsOf({ tlsConfig }: RemoteFlags): ReturnType<typeof tlsClientOptions> {
  if (tlsConfig === undefined) return undefined;
  const reading = readTlsFile(tlsConfig);
  const config = { ...reading.config, "tls.enable": true };
  return tlsClientOptions(
    { ...reading, config, given: new Set([...reading.given, "tls.enable"]) },
    new FileDisk("file"),
  );
}

/** A refusal, or that there is no such thing, is an answer: 1. Everything else is for `runVerb`. */
async function told(run: () => Promise<ExitCode | undefined>): Promise<ExitCode | undefined> {
  try {
    return await run();
  } catch (error) {
    const code = error instanceof CometError ? error.code : "";
    if (code !== "COMETMQ_REMOTE" && code !== "COMETMQ_NOT_FOUND") throw error;
    reportError(error as CometError);
    return ExitCode.FINDINGS;
  }
}

export function positiveNumber(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new InvalidArgumentError("A whole number above 0 is needed.");
  return value;
}

const INT_MAX = 2 ** 31 - 1;

/** What is an int to brokers: Apache's meet one that is none with a stack. */
export function positiveInt(text: string): number {
  const value = positiveNumber(text);
  if (value > INT_MAX) throw new InvalidArgumentError(`A whole number from 1 to ${INT_MAX} is needed.`);
  return value;
}

export function wholeInt(text: string): number {
  const value = wholeNumber(text);
  if (value > INT_MAX) throw new InvalidArgumentError(`A whole number from 0 to ${INT_MAX} is needed.`);
  return value;
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("A whole number is needed.");
  return Number(text);
}

/** A time as ISO 8601, as ms since 1970, or so long ago: `10m`. */
export function timeOf(text: string, nowMs: number): number | undefined {
  if (/^\d{12,15}$/.test(text)) return Number(text);
  const [, count, unit] = /^(\d{1,9})(s|m|h|d)$/.exec(text) ?? [];
  if (count !== undefined) return nowMs - Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
