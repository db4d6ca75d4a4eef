/**
 * A connection of SQLite that any Node here can open: node:sqlite where Node has it (22.13 and later), else SQLite in
 * WebAssembly with a face like node:sqlite's.
 */
const builtIn = await import("node:sqlite").catch(() => undefined);
const inWasm = builtIn === undefined ? (await import("node-sqlite3-wasm")).default : undefined;

export const DRIVER = builtIn === undefined ? "node-sqlite3-wasm" : "node:sqlite";

/** @param {string} path */
export function openSqlite(path) {
  if (builtIn !== undefined) {
    const database = new builtIn.DatabaseSync(path);
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
