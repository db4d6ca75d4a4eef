/**
 * Consuming once what is delivered at least once: the keys of messages whose work is done stand in a SQL table, and each
 * is written in the very transaction that does the work. So both are there or neither is, whatever crashes between the
 * commit and the acknowledgement, and of two consumers with one key at the same time the second waits for the first.
 *
 *   consumer_group text · message_key text · processed_at integer (milliseconds since 1970)     key: group and key
 */
import { createHash } from "node:crypto";
import { type Clock, systemClock } from "../base/clock.js";
import { shown } from "../base/given-values.js";
import { type Logger, silentLogger } from "../base/log.js";
import type { OptionNames } from "../base/option-names.js";
import { configError } from "./errors.js";
import { checkFunction, checkNames, checkTools, positive } from "./arguments.js";
import type { BatchHandler, ConsumeContext, MessageHandler } from "./push-options.js";
import type { ReceivedMessage } from "./received-message.js";
import type { SqlDatabase, SqlDialect, SqlTransaction } from "./sql-database.js";
import { Periodic } from "./waiting.js";

const DAY_MS = 86_400_000;
/** A name, perhaps with that of its schema: it goes into statements as it is. */
const TABLE = /^[A-Za-z_][A-Za-z0-9_]{0,47}(\.[A-Za-z_][A-Za-z0-9_]{0,47})?$/;
/** Longer ones stand there by their hash: an index has a limit. */
const KEY_CHARS_MAX = 255;
const EXPIRE_AT_ONCE_MAX = 1000;

/** Where keys stand, and how long. Times are milliseconds. */
export interface ProcessedKeysOptions {
  /** The table, perhaps with its schema (`cometmq_processed_keys`). */
  readonly table?: string;
  /** False where a migration has made the table: see `tableStatements`. */
  readonly createTable?: boolean;
  /**
   * Older keys are forgotten (7 days). No message may come again after that: take more than the brokers keep messages, and
   * than the delays of retries add up to.
   */
  readonly keepMs?: number;
  /** How often (10 min). */
  readonly expireIntervalMs?: number;
  /** In place of the system's, for tests. */
  readonly clock?: Clock;
  /** Hears when old keys could not be forgotten; says nothing by default. */
  readonly log?: Logger;
}

const OPTIONS: OptionNames<ProcessedKeysOptions> = {
  table: true,
  createTable: true,
  keepMs: true,
  expireIntervalMs: true,
  clock: true,
  log: true,
};

/** The key of a message: what counts as the same work. */
export type KeyOf = (message: ReceivedMessage) => string;

/** Of `handler` and `batchHandler`. */
export interface OnceOptions {
  /** The message id by default, which a producer's own retries keep; an order's number where producers may repeat it. */
  readonly keyOf?: KeyOf;
}

/** The statements that make the table, and the index by which old keys are found. Throws ConfigError for another name. */
export function tableStatements(dialect: SqlDialect, table = "cometmq_processed_keys"): string[] {
  checkTable(table);
  const index = `${table.replace(".", "_")}_at`;
  const [time, end] = dialect === "sqlite" ? ["INTEGER", " WITHOUT ROWID"] : ["BIGINT", ""];
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (consumer_group TEXT NOT NULL, message_key TEXT NOT NULL, ` +
      `processed_at ${time} NOT NULL, PRIMARY KEY (consumer_group, message_key))${end}`,
    `CREATE INDEX IF NOT EXISTS ${index} ON ${table} (processed_at)`,
  ];
}

/**
 * The keys of messages whose work is done, in a table of the application's database: work is done once, however often its
 * message comes. `Handle` is what the application's statements go by.
 */
export class ProcessedKeys<Handle> implements AsyncDisposable {
  readonly #database: SqlDatabase<Handle>;
  readonly #claim: string;
  readonly #expire: string;
  readonly #keepMs: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #timer: Periodic;
  #expiring: Promise<number> = Promise.resolve(0);

  /** Makes the table where there is none. Rejects with ConfigError, or as the driver does when that fails. */
  static async open<Handle>(
    database: SqlDatabase<Handle>,
    options: ProcessedKeysOptions = {},
  ): Promise<ProcessedKeys<Handle>> {
    checkNames("ProcessedKeys.open", options, OPTIONS);
    if (database?.dialect !== "sqlite" && database?.dialect !== "postgresql")
      throw configError("The database has no dialect: sqliteDatabase and postgresDatabase make one of a driver.");
    checkFunction("database.transaction", database.transaction ?? "missing");
    checkTools(options);
    const { table, createTable = true } = options;
    const statements = tableStatements(database.dialect, table);
    if (createTable) await makeTable(database, statements);
    return new ProcessedKeys(database, options);
  }

  private constructor(database: SqlDatabase<Handle>, options: ProcessedKeysOptions) {
    const { table = "cometmq_processed_keys", clock = systemClock, log = silentLogger } = options;
    const [a, b, c] = database.dialect === "sqlite" ? ["?", "?", "?"] : ["$1", "$2", "$3"];
    this.#database = database;
    this.#claim = `INSERT INTO ${table} (consumer_group, message_key, processed_at) VALUES (${a}, ${b}, ${c}) ON CONFLICT DO NOTHING`;
    const old = `SELECT consumer_group, message_key FROM ${table} WHERE processed_at < ${a} LIMIT ${EXPIRE_AT_ONCE_MAX}`;
    this.#expire = `DELETE FROM ${table} WHERE (consumer_group, message_key) IN (${old})`;
    this.#keepMs = positive("keepMs", options.keepMs, 7 * DAY_MS);
    this.#clock = clock;
    this.#log = log;
    const intervalMs = positive("expireIntervalMs", options.expireIntervalMs, 600_000);
    this.#timer = new Periodic(clock, intervalMs, () => this.#expireQuietly());
  }

  /**
   * Runs `work` in a transaction unless the group has done so for `key`, and remembers it; whether it ran. Rejects with
   * what `work` or the database does, and then nothing is remembered. `work` makes its statements by `handle`; what it
   * does elsewhere is not undone.
   */
  once(group: string, key: string, work: (handle: Handle) => unknown): Promise<boolean> {
    return this.#database.transaction(async (sql, handle) => {
      if (!(await this.claim(sql, group, key))) return false;
      await work(handle);
      return true;
    });
  }

  /**
   * For a transaction that the application has opened by itself: remembers the key in it, and says whether it is new. When
   * it is not, its work was done before.
   */
  async claim(sql: SqlTransaction, group: string, key: string): Promise<boolean> {
    if (typeof key !== "string" || key === "") throw configError(`The key of a message is ${shown(key)}, or empty.`);
    return (await sql.run(this.#claim, [group, storedKey(key), this.#clock.nowMs()])) > 0;
  }

  /** `onMessage` of a push consumer: a message whose key is known is consumed already. */
  handler(
    group: string,
    work: (message: ReceivedMessage, handle: Handle, context: ConsumeContext) => unknown,
    { keyOf = ({ messageId }) => messageId }: OnceOptions = {},
  ): MessageHandler {
    return (message, context) => this.once(group, keyOf(message), (handle) => work(message, handle, context));
  }

  /** `onBatch` of a push consumer: `work` gets the messages whose keys are new, all in one transaction. */
  batchHandler(
    group: string,
    work: (messages: readonly ReceivedMessage[], handle: Handle, context: ConsumeContext) => unknown,
    { keyOf = ({ messageId }) => messageId }: OnceOptions = {},
  ): BatchHandler {
    return (messages, context) =>
      this.#database.transaction(async (sql, handle) => {
        const byKey = new Map<string, ReceivedMessage>();
        for (const message of messages) if (!byKey.has(keyOf(message))) byKey.set(keyOf(message), message);
        const claimed = new Set<ReceivedMessage>();
        // In one order, lest two batches wait for each other.
        for (const key of [...byKey.keys()].sort()) {
          if (await this.claim(sql, group, key)) claimed.add(byKey.get(key)!);
        }
        const own = messages.filter((message) => claimed.has(message));
        if (own.length > 0) await work(own, handle, context);
      });
  }

  /** Forgets keys that are older than `keepMs`; how many. A timer does it as well. */
  expire(): Promise<number> {
    this.#expiring = this.#expiring.catch(() => 0).then(() => this.#expireAll());
    return this.#expiring;
  }

  /** Ends the timer. The database stays open: it is the application's. */
  async close(): Promise<void> {
    this.#timer.stop();
    await this.#expiring.catch(() => 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A part at a time, so that consumers wait for no long transaction. */
  async #expireAll(): Promise<number> {
    const before = this.#clock.nowMs() - this.#keepMs;
    for (let total = 0; ; ) {
      const count = await this.#database.transaction(async (sql) => sql.run(this.#expire, [before]));
      total += count;
      if (count < EXPIRE_AT_ONCE_MAX) return total;
    }
  }

  async #expireQuietly(): Promise<void> {
    try {
      await this.expire();
    } catch (error) {
      this.#log.warn({ err: error }, "old keys could not be forgotten; it is tried again");
    }
  }
}

async function makeTable(database: SqlDatabase<unknown>, statements: readonly string[]): Promise<void> {
  const make = () =>
    database.transaction(async (sql) => {
      for (const statement of statements) await sql.run(statement, []);
    });
  try {
    await make();
  } catch {
    // PostgreSQL's IF NOT EXISTS fails where somebody else makes the same table at that moment: then it is there now.
    await make();
  }
}

function checkTable(table: string): void {
  if (typeof table !== "string" || !TABLE.test(table))
    throw configError(`${shown(table)} is no table: letters, digits and _, perhaps with a schema.`);
}

function storedKey(key: string): string {
  const fits = key.length <= KEY_CHARS_MAX && !key.includes("\0") && !key.startsWith("sha256:");
  return fits ? key : `sha256:${createHash("sha256").update(key).digest("hex")}`;
}
