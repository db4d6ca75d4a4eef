/**
 * A connection of SQLite that any Node here can open: node:sqlite where Node has it (22.13 and later), else SQLite in
 * WebAssembly with a face like node:sqlite's. COMETMQ_SQLITE=/…/node_modules/better-sqlite3/lib/index.js takes that one.
 */
const better = process.env.COMETMQ_SQLITE ? (await import(process.env.COMETMQ_SQLITE)).default : undefined;
const builtIn = await import("node:sqlite").catch(() => undefined);
const inWasm = builtIn === undefined ? (await import("node-sqlite3-wasm")).default : undefined;

export const DRIVER = better ? "better-sqlite3" : builtIn === undefined ? "node-sqlite3-wasm" : "node:sqlite";

/** @param {string} path */
export function openSqlite(path) {
  if (better !== undefined || builtIn !== undefined) {
    const database = better !== undefined ? new better(path) : new builtIn.DatabaseSync(path);
    return {
      exec: (sql) => database.exec(sql),
      prepare: (sql) => database.prepare(sql),
      all: (sql) => database.prepare(sql).all(),
      close: () => database.close(),
    };
  }
  const database = new inWasm.Database(path);
  return {
    exec: (sql) => database.exec(sql),
    prepare: (sql) => ({ run: (...parameters) => database.run(sql, parameters) }),
    all: (sql) => database.all(sql),
    close: () => database.close(),
  };
}
