import type { SqliteConnection } from "#src/client/sql-database.js";

export interface TestSqlite extends SqliteConnection {
  all(sql: string): Record<string, unknown>[];
  close(): void;
}

export const DRIVER: string;
export function openSqlite(path: string): TestSqlite;
