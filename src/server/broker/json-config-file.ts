/**
 * One of the files under `store/config`: a whole table as JSON, in the shape and the layout of Apache's ConfigManager
 * (common/ConfigManager.java), so that either broker reads the other's. `NAME.bak` is the generation before.
 *
 *   save:  temp file, fsync, NAME -> NAME.bak (rename), temp file -> NAME (rename), directory fsync
 *
 * At every moment one whole generation lies under one of the two names. A file that was found damaged never takes the
 * backup's place: it is put aside as `NAME.damaged`, for somebody to look at.
 */
import { dirname } from "node:path";
import type { Disk } from "../../io/disk.js";
import { type FastjsonInput, type FastjsonMap, parseFastjson } from "../../remoting/fastjson.js";
import { type DataVersion, readDataVersion } from "../protocol/data-version.js";
import { mapMember } from "../protocol/members.js";
import { ConfigText } from "./config-text.js";

/** How a table came to be, for the log and for whoever decides whether to start with it. */
export interface LoadReport {
  readonly path: string;
  /**
   * "missing": there is no such file, a new broker. "loaded": as it was saved. "recovered": from the backup, the
   * generation before. "lost": there are files, and none can be read; the table has its defaults.
   */
  readonly outcome: "missing" | "loaded" | "recovered" | "lost";
  /** What was wrong with files and entries, in sentences. */
  readonly problems: readonly string[];
  /** Entries that were left out because they are malformed. */
  readonly droppedCount: number;
}

const PROBLEMS_MAX = 100;

/** Collects what a table's reader leaves out, without letting a hostile file fill the memory. */
export class Omissions {
  readonly problems: string[] = [];
  count = 0;

  drop(what: string, cause?: unknown): void {
    this.count++;
    const why = cause instanceof Error ? `: ${cause.message}` : "";
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${what.slice(0, 300)} was left out${why}`);
  }
}

export class JsonConfigFile {
  readonly path: string;
  readonly #disk: Disk;
  readonly #mode: number | undefined;
  /** Whether what lies under `path` is a whole generation. */
  #whole = false;
  /** One save at a time, so its room serves the next one. */
  readonly #text = new ConfigText();

  /** `mode` is for files that not everybody may read. */
  constructor(disk: Disk, path: string, mode?: number) {
    this.#disk = disk;
    this.#mode = mode;
    this.path = path;
  }

  /** Reads the newest whole generation and has `take` build the table from it. Changes nothing on the disk. */
  load(take: (content: FastjsonMap, omissions: Omissions) => void): LoadReport {
    const omissions = new Omissions();
    const problems: string[] = [];
    const backup = `${this.path}.bak`;
    const candidates: [string, "loaded" | "recovered"][] = [
      [this.path, "loaded"],
      [backup, "recovered"],
    ];
    let present = 0;
    for (const [path, outcome] of candidates) {
      const found = this.#read(path, problems);
      if (found === "missing") continue;
      present++;
      if (found === "damaged") continue;
      this.#whole = outcome === "loaded";
      take(found, omissions);
      const report = { path: this.path, droppedCount: omissions.count };
      return { ...report, outcome, problems: [...problems, ...omissions.problems] };
    }
    const outcome = present === 0 ? "missing" : "lost";
    return { path: this.path, outcome, problems, droppedCount: 0 };
  }

  #read(path: string, problems: string[]): FastjsonMap | "missing" | "damaged" {
    let bytes: Buffer | undefined;
    try {
      bytes = this.#disk.readFile(path);
    } catch (error) {
      problems.push(`${path} can not be read: ${error instanceof Error ? error.message : String(error)}`);
      return "damaged";
    }
    if (bytes === undefined) return "missing";
    const content = bytes.length === 0 ? undefined : parseFastjson(bytes);
    if (content instanceof Map) return content;
    problems.push(bytes.length === 0 ? `${path} is empty` : `${path} is not a JSON object, torn or damaged`);
    return "damaged";
  }

  /**
   * Takes the content as it is now. Rejects as the disk does; then the generation before is still there. One save at a
   * time.
   */
  async save(content: FastjsonInput): Promise<void> {
    const text = this.#text.write(content);
    this.#disk.makeDirectory(dirname(this.path));
    const keepAs = this.#whole ? `${this.path}.bak` : `${this.path}.damaged`;
    await this.#disk.replace(this.path, text, keepAs, this.#mode);
    this.#whole = true;
  }
}

/** The version that a file says it is of; undefined, and noted, where what it says is none. */
export function savedDataVersion(content: FastjsonMap, omissions: Omissions): DataVersion | undefined {
  try {
    return readDataVersion(mapMember(content, "dataVersion"));
  } catch (error) {
    omissions.drop("the data version", error);
    return undefined;
  }
}

/** The table that a file is there for; empty, and noted, where the file has none. */
export function savedTable(content: FastjsonMap, name: string, omissions: Omissions): FastjsonMap {
  const table = content.get(name);
  if (table instanceof Map) return table;
  omissions.drop(`${name}, which is missing or no object,`);
  return new Map();
}
