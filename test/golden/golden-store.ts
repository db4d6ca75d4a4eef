/**
 * The stores Apache 5.4.0 wrote (test/golden/data/stores): extracts one into a directory of its own, which goes when the
 * tests of the file are over, and reads what Apache sees in it.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const STORES = join(import.meta.dirname, "data", "stores");
const ARCHIVE_SUFFIX = ".tar.gz";

export interface GoldenStore {
  /** Holds `store/`, the store's root, and `broker.conf`. */
  readonly dir: string;
  /** `broker.conf`: the sizes the store was written with. */
  readonly conf: ReadonlyMap<string, string>;
}

const extracted: string[] = [];

afterAll(() => {
  for (const dir of extracted.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** Every call gives a fresh copy, which the caller may change. */
export function extractStore(name: string): GoldenStore {
  const dir = mkdtempSync(join(tmpdir(), `cometmq-golden-${name}-`));
  extracted.push(dir);
  execFileSync("tar", ["-xzf", join(STORES, name + ARCHIVE_SUFFIX), "-C", dir]);
  const conf = new Map<string, string>();
  for (const line of readFileSync(join(dir, "broker.conf"), "utf8").split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) conf.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return { dir, conf };
}

/** Names of all golden stores. */
export function storeNames(): string[] {
  return readdirSync(STORES)
    .filter((file) => file.endsWith(ARCHIVE_SUFFIX))
    .map((file) => file.slice(0, -ARCHIVE_SUFFIX.length))
    .sort();
}

/** One line of what Apache sees; the fields depend on `type` and are listed where the data is described. */
export interface ExpectedLine {
  readonly type: string;
}

/** The expected lines of a store as they are. */
export function expectedText(name: string): string[] {
  const lines = readFileSync(join(STORES, `${name}.expected.jsonl`), "utf8").split("\n");
  return lines.filter((line) => line !== "");
}

/** The expected lines of a store in their order; with `type` only those, as the shape the caller knows them to have. */
export function expectedLines<T extends ExpectedLine = ExpectedLine>(name: string, type?: T["type"]): T[] {
  const parsed = expectedText(name).map((line) => JSON.parse(line) as T);
  return type === undefined ? parsed : parsed.filter((line) => line.type === type);
}
