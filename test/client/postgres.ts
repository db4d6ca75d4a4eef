/** PostgreSQL for tests: a server of this machine where its programs are installed, and PGlite, which is one in WebAssembly. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PGlite, Transaction } from "@electric-sql/pglite";
import pg from "pg";
import type { SqlDatabase } from "#src/client/sql-database.js";
import { freePort } from "../clients/ports.mjs";

/** A server does not run as root; anybody else does. */
const NOBODY = 65_534;
const AS_NOBODY = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** The folder of initdb and postgres; undefined where there is none. */
export const POSTGRES_PROGRAMS: string | undefined = programs();

function programs(): string | undefined {
  const onPath = (process.env.PATH ?? "").split(path.delimiter).map((folder) => path.join(folder, "pg_ctl"));
  const links = onPath.filter((file) => existsSync(file)).map((file) => path.dirname(realpathSync(file)));
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).map((name) => path.join(debian, name, "bin")) : [];
  return [...links, ...versions].find((folder) => existsSync(path.join(folder, "initdb")));
}

export interface Postgres {
  readonly pool: pg.Pool;
  /** Nothing is left of it after that. */
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<Postgres> {
  const directory = mkdtempSync(path.join(tmpdir(), "cometmq-postgres-"));
  if ("uid" in AS_NOBODY) chownSync(directory, NOBODY, NOBODY);
  const data = path.join(directory, "data");
  const options = { cwd: directory, stdio: "ignore", ...AS_NOBODY } as const;
  execFileSync(path.join(POSTGRES_PROGRAMS!, "initdb"), ["-D", data, "-U", "tester", "-A", "trust", "-N"], options);
  const port = await freePort();
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "fsync=off", `unix_socket_directories=${directory}`];
  const flags = settings.flatMap((setting) => ["-c", setting]);
  const server = spawn(path.join(POSTGRES_PROGRAMS!, "postgres"), ["-D", data, ...flags], options);
  const pool = new pg.Pool({ host: "127.0.0.1", port, user: "tester", database: "postgres", max: 20 });
  pool.on("error", () => {});
  for (;;) {
    try {
      await pool.query("SELECT 1");
      return {
        pool,
        stop: async () => {
          await pool.end();
          await stop(server);
          rmSync(directory, { recursive: true, force: true });
        },
      };
    } catch (error) {
      if (server.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return;
  server.kill("SIGQUIT");
  await once(server, "exit");
}

/** An adapter for a driver that has transactions of its own: as much as another one takes. */
export function pgliteDatabase(database: PGlite): SqlDatabase<Transaction> {
  return {
    dialect: "postgresql",
    transaction: (work) =>
      database.transaction((handle) =>
        work({ run: async (sql, values) => (await handle.query(sql, [...values])).affectedRows ?? 0 }, handle),
      ),
  };
}
