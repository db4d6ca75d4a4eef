/** Work that is done once: on SQLite and PostgreSQL, with consumers at the same time, failures, and a process that dies. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ProcessedKeys, tableStatements } from "#src/client/processed-keys.js";
import type { ConsumeContext } from "#src/client/push-options.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { postgresDatabase, type SqlDatabase, sqliteDatabase } from "#src/client/sql-database.js";
import { closeAll, onCloseAll, temporaryDirectory } from "../server/harness.js";
import { HandClock } from "../unit/remoting/peers.js";
import { AS_USER, consumerOf, createTopic, freshName, PATIENCE_MS, producerOf, startServer, until } from "./harness.js";
import { POSTGRES_PROGRAMS, type Postgres, pgliteDatabase, startPostgres } from "./postgres.js";
import { DRIVER, openSqlite, type TestSqlite } from "./sqlite.mjs";

/** PGlite takes its seconds to begin, so it stands in only where there is no server. */
const noServer = POSTGRES_PROGRAMS === undefined || process.env.COMETMQ_PGLITE === "1";
process.stderr.write(`SQLite is ${DRIVER}, PostgreSQL is ${noServer ? "PGlite" : POSTGRES_PROGRAMS}\n`);
if (noServer) process.stderr.write("skipped: clients of PostgreSQL at the same time, for PGlite has one only\n");

let postgres: Postgres | undefined;

beforeAll(async () => {
  if (!noServer) postgres = await startPostgres();
});
afterEach(closeAll);
afterAll(() => postgres?.stop());

const EFFECTS = "CREATE TABLE effects (what TEXT NOT NULL)";

/** A database with a table for effects of the work. */
interface Place {
  readonly keys: ProcessedKeys<unknown>;
  /** By the handle of a transaction. */
  insert(handle: unknown, what: string): Promise<unknown> | unknown;
  effects(): Promise<unknown[]>;
}

interface Client {
  query(sql: string, values: unknown[]): Promise<unknown>;
}

async function keysOf<Handle>(database: SqlDatabase<Handle>, clock = new HandClock()): Promise<ProcessedKeys<Handle>> {
  const keys = await ProcessedKeys.open(database, { clock, keepMs: 1000, expireIntervalMs: 500 });
  onCloseAll(() => keys.close());
  return keys;
}

function sqliteFile(path: string): TestSqlite {
  const connection = openSqlite(path);
  onCloseAll(() => connection.close());
  return connection;
}

async function onSqlite(clock?: HandClock): Promise<Place> {
  const connection = sqliteFile(join(temporaryDirectory(), "shop.db"));
  connection.exec(EFFECTS);
  return {
    keys: (await keysOf(sqliteDatabase(connection), clock)) as ProcessedKeys<unknown>,
    insert: (handle, what) => (handle as TestSqlite).prepare("INSERT INTO effects VALUES (?)").run(what),
    effects: async () => connection.all("SELECT what FROM effects").map(({ what }) => what),
  };
}

async function onPostgres(clock?: HandClock): Promise<Place> {
  if (postgres === undefined) return onPglite(clock);
  const { pool } = postgres;
  await pool.query(`DROP TABLE IF EXISTS effects, cometmq_processed_keys; ${EFFECTS}`);
  return {
    keys: (await keysOf(postgresDatabase(pool), clock)) as ProcessedKeys<unknown>,
    insert: (handle, what) => (handle as Client).query("INSERT INTO effects VALUES ($1)", [what]),
    effects: async () => (await pool.query<{ what: string }>("SELECT what FROM effects")).rows.map((row) => row.what),
  };
}

async function onPglite(clock?: HandClock): Promise<Place> {
  const { PGlite } = await import("@electric-sql/pglite");
  const database = new PGlite();
  onCloseAll(() => database.close());
  await database.exec(EFFECTS);
  return {
    keys: (await keysOf(pgliteDatabase(database), clock)) as ProcessedKeys<unknown>,
    insert: (handle, what) => (handle as Client).query("INSERT INTO effects VALUES ($1)", [what]),
    effects: async () =>
      (await database.query<{ what: string }>("SELECT what FROM effects")).rows.map((row) => row.what),
  };
}

const message = (messageId: string, key = "k") => ({ messageId, keys: [key] }) as unknown as ReceivedMessage;
const context = {} as ConsumeContext;

test.each([
  ["SQLite", onSqlite],
  ["PostgreSQL", onPostgres],
])("%s: work and key are there together or not at all, and old keys are forgotten", async (_, open) => {
  const clock = new HandClock();
  const { keys, insert, effects } = await open(clock);
  const handler = keys.handler("G", async (received, handle) => {
    await insert(handle, received.messageId);
    if (received.messageId === "bad") throw new Error("on purpose");
  });
  await handler(message("a"), context);
  await handler(message("a"), context);
  await expect(handler(message("bad"), context)).rejects.toThrow("on purpose");
  expect(await effects()).toEqual(["a"]);
  // What failed was not remembered, and another group has its own keys.
  expect(await keys.once("G", "bad", () => {})).toBe(true);
  expect(await keys.once("other", "a", (handle) => insert(handle, "other a"))).toBe(true);

  const byOrder = keys.handler("by order", (received, handle) => insert(handle, received.messageId), {
    keyOf: ({ keys: [order] }) => order!,
  });
  await byOrder(message("b", "order 7"), context);
  await byOrder(message("c", "order 7"), context);
  const batch = keys.batchHandler("G", async (received, handle) => {
    for (const { messageId } of received) await insert(handle, messageId);
  });
  await batch([message("d"), message("a"), message("d"), message("e")], context);
  expect(await effects()).toEqual(["a", "other a", "b", "d", "e"]);

  const long = "x".repeat(5000);
  expect([await keys.once("G", long, () => {}), await keys.once("G", long, () => {})]).toEqual([true, false]);
  expect([await keys.once("G", "nul \0", () => {}), await keys.once("G", "nul \0", () => {})]).toEqual([true, false]);
  await expect(keys.once("G", "", () => {})).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });

  clock.advance(1000);
  expect(await keys.expire()).toBe(0);
  expect(await keys.once("G", "young", () => {})).toBe(true);
  clock.advance(1);
  expect(await keys.expire()).toBe(8);
  expect([await keys.once("G", "young", () => {}), await keys.once("G", "a", () => {})]).toEqual([false, true]);
});

test("more old keys than are forgotten at once; the timer does it too", async () => {
  const clock = new HandClock();
  const connection = sqliteFile(join(temporaryDirectory(), "shop.db"));
  await keysOf(sqliteDatabase(connection), clock);
  const count = () => connection.all("SELECT count(*) AS n FROM cometmq_processed_keys")[0]!.n;
  connection.exec("BEGIN");
  const insert = connection.prepare("INSERT INTO cometmq_processed_keys VALUES ('G', ?, ?)");
  for (let i = 0; i < 2500; i++) insert.run(`k${i}`, clock.nowMs());
  connection.exec("COMMIT");
  clock.advance(1001);
  await until(() => count() === 0, 5000);
});

test("a table is named safely, and by a migration if wanted", async () => {
  const connection = sqliteFile(join(temporaryDirectory(), "shop.db"));
  const database = sqliteDatabase(connection);
  for (const table of ["a;b", "a b", "", "a.b.c", '"x"'])
    await expect(ProcessedKeys.open(database, { table })).rejects.toThrow(`${JSON.stringify(table)} is no table`);
  for (const statement of tableStatements("sqlite", "mine")) connection.exec(statement);
  await using keys = await ProcessedKeys.open(database, { table: "mine", createTable: false });
  expect(await keys.once("G", "a", () => {})).toBe(true);
  expect(tableStatements("postgresql", "shop.keys")[1]).toContain("shop_keys_at ON shop.keys");
});

test("SQLite: two connections and one key at the same time, work is done once", async () => {
  const path = join(temporaryDirectory(), "shop.db");
  const connections = [sqliteFile(path), sqliteFile(path)];
  connections[0]!.exec(EFFECTS);
  const both: ProcessedKeys<TestSqlite>[] = [];
  for (const connection of connections) both.push(await keysOf(sqliteDatabase(connection)));
  const attempt = async (i: number): Promise<boolean> => {
    for (;;) {
      try {
        return await both[i]!.once("G", "same", async (connection) => {
          await new Promise((resolve) => setTimeout(resolve, 20));
          connection.prepare("INSERT INTO effects VALUES (?)").run("done");
        });
      } catch (error) {
        // As a broker would: the message comes again.
        if (!/locked|busy/.test(String(error))) throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  expect((await Promise.all([attempt(0), attempt(1)])).sort()).toEqual([false, true]);
  expect(connections[0]!.all("SELECT what FROM effects")).toHaveLength(1);
});

test.skipIf(noServer)("PostgreSQL: of two clients with one key the second waits for the first", async () => {
  const { pool } = postgres!;
  await pool.query(`DROP TABLE IF EXISTS effects, cometmq_processed_keys; ${EFFECTS}`);
  // Both make the table at once, which PostgreSQL does not always like.
  const both = await Promise.all([1, 2, 3, 4].map(() => keysOf(postgresDatabase(pool))));
  const [first, second] = [both[0]!, both[1]!];
  const insert = (client: { query(text: string): Promise<unknown> }) =>
    client.query("INSERT INTO effects VALUES ('x')");
  const effects = async () => (await pool.query("SELECT count(*)::int AS n FROM effects")).rows[0].n;

  for (const fails of [false, true]) {
    await pool.query("DELETE FROM effects");
    let begun = () => {};
    let goOn = () => {};
    const inside = new Promise<void>((resolve) => (begun = resolve));
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    const holder = first.once("G", `key ${fails}`, async (client) => {
      await insert(client);
      begun();
      await gate;
      if (fails) throw new Error("on purpose");
    });
    const held = holder.catch((error: Error) => error.message);
    await inside;
    let waited = true;
    const waiter = second.once("G", `key ${fails}`, insert).finally(() => (waited = false));
    const blocked = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    await until(async () => (await pool.query(blocked)).rows[0].n === 1, PATIENCE_MS);
    expect(waited).toBe(true);
    goOn();
    expect([await held, await waiter]).toEqual(fails ? ["on purpose", true] : [true, false]);
    expect(await effects()).toBe(1);
  }

  await pool.query("DELETE FROM effects");
  const rush = Array.from({ length: 80 }, (_, i) => both[i % 4]!.once("rush", `key ${i % 20}`, insert));
  expect((await Promise.all(rush)).filter((ran) => ran)).toHaveLength(20);
  expect(await effects()).toBe(20);

  // Work that hides the failure of its statement: PostgreSQL rolls back, and says so only when asked to commit.
  const hiding = first.once("G", "hidden", async (client) => {
    await insert(client);
    await client.query("SELECT * FROM no_such_table").catch(() => undefined);
  });
  await expect(hiding).rejects.toThrow("rolled it back");
  expect([await effects(), await first.once("G", "hidden", insert)]).toEqual([20, true]);
});

test("a consumer that dies between commit and acknowledgement: the message comes again, the work does not", async () => {
  const namesrvAddr = await startServer();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const group = freshName("G");
  const path = join(temporaryDirectory(), "shop.db");
  const connection = sqliteFile(path);
  connection.exec("CREATE TABLE payments (order_id TEXT NOT NULL)");
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  await producer.send({ topic, body: "7", keys: "order 7" });

  const program = join(import.meta.dirname, "programs", "pay-and-die.mjs");
  const settings = JSON.stringify({ namesrvAddr, ...AS_USER, group, topic, path });
  const child = spawn(process.execPath, [program, settings], { stdio: ["ignore", "inherit", "inherit"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  expect(connection.all("SELECT order_id FROM payments")).toEqual([{ order_id: "7" }]);

  const keys = await keysOf(sqliteDatabase(connection));
  const delivered: string[] = [];
  const handler = keys.handler(group, (received, handle) =>
    handle.prepare("INSERT INTO payments VALUES (?)").run(received.text()),
  );
  await consumerOf({
    namesrvAddr,
    group,
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: async (received, at) => {
      await handler(received, at);
      delivered.push(received.text());
    },
  });
  await producer.send({ topic, body: "8", keys: "order 8" });
  await until(() => delivered.includes("7") && delivered.includes("8"));
  expect(connection.all("SELECT order_id FROM payments")).toEqual([{ order_id: "7" }, { order_id: "8" }]);
});
