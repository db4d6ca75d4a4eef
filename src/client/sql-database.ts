/**
 * SQL databases as ProcessedKeys sees them. No driver is a dependency: an adapter takes whatever looks like it, and for
 * other drivers and mappers the two interfaces are a few lines to write.
 */

/** How statements number their parameters, and what types the table of keys has. */
export type SqlDialect = "sqlite" | "postgresql";

/** Statements within one transaction that is open. */
export interface SqlTransaction {
  /** How many rows the statement changed. `sql` has `?` in SQLite and `$1`, `$2` … in PostgreSQL for `parameters`. */
  run(sql: string, parameters: readonly (string | number)[]): number | Promise<number>;
}

/** `Handle` is what the application's own statements go by within a transaction: the driver's client or connection. */
export interface SqlDatabase<Handle> {
  /** What statements are written for. */
  readonly dialect: SqlDialect;
  /** Commits when `work` resolves, rolls back when it rejects; rejects as well when the commit did not take place. */
  transaction<Result>(work: (sql: SqlTransaction, handle: Handle) => Promise<Result>): Promise<Result>;
}

/** A connection of better-sqlite3, or DatabaseSync of node:sqlite. */
export interface SqliteConnection {
  /** Runs a statement without parameters; throws when it fails. */
  exec(sql: string): unknown;
  /** A statement to `run`; throws when it is none. */
  prepare(sql: string): {
    /** Gives each `?` its value; `changes` is how many rows changed. Throws when it fails. */
    run(...parameters: (string | number)[]): { readonly changes: number | bigint };
  };
}

/**
 * One connection, whose transactions come one after the other. Statements that others make on the same connection meanwhile
 * would be in the transaction, too: open one for this alone, and set `busy_timeout` where other processes write.
 */
export function sqliteDatabase<Connection extends SqliteConnection>(connection: Connection): SqlDatabase<Connection> {
  let last: Promise<unknown> = Promise.resolve();
  const sql: SqlTransaction = {
    run: (text, parameters) => Number(connection.prepare(text).run(...parameters).changes),
  };
  return {
    dialect: "sqlite",
    transaction(work) {
      const result = last.then(async () => {
        // Takes the write lock now: a later upgrade could fail with no second try.
        connection.exec("BEGIN IMMEDIATE");
        try {
          const value = await work(sql, connection);
          connection.exec("COMMIT");
          return value;
        } catch (error) {
          // Some errors have ended the transaction already.
          attempt(() => connection.exec("ROLLBACK"));
          throw error;
        }
      });
      last = result.catch(() => undefined);
      return result;
    },
  };
}

/** A client of `pg`, lent by its pool. */
export interface PostgresClient {
  /** Rejects when the statement fails; `command` is what was done: `COMMIT` becomes `ROLLBACK` after a failure. */
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rowCount: number | null; readonly command: string }>;
  /** Gives the client back to its pool; one with an error is thrown away. */
  release(error?: Error | boolean): void;
}

/** A Pool of `pg`; each transaction borrows a client of it. */
export interface PostgresPool<Client extends PostgresClient> {
  /** Waits for a client that is free. */
  connect(): Promise<Client>;
}

/** A pool of connections: transactions run side by side, each on a client of its own, at the isolation that is its default. */
export function postgresDatabase<Client extends PostgresClient>(pool: PostgresPool<Client>): SqlDatabase<Client> {
  return {
    dialect: "postgresql",
    async transaction(work) {
      const client = await pool.connect();
      const sql: SqlTransaction = {
        run: async (text, parameters) => (await client.query(text, parameters)).rowCount ?? 0,
      };
      let broken: Error | undefined;
      try {
        await client.query("BEGIN");
        const value = await work(sql, client);
        // A transaction in which a statement has failed is rolled back by COMMIT, without an error.
        if ((await client.query("COMMIT")).command === "ROLLBACK") {
          throw new Error("a statement of the transaction had failed, so PostgreSQL rolled it back");
        }
        return value;
      } catch (error) {
        await client.query("ROLLBACK").catch((reason: unknown) => {
          broken = reason instanceof Error ? reason : new Error(String(reason));
        });
        throw error;
      } finally {
        client.release(broken);
      }
    },
  };
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // The error that led here is the one to tell.
  }
}
