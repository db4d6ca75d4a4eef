/**
 * Settings that administrators keep at the name server, by namespace and key; the one Apache itself reads is the
 * namespace ORDER_TOPIC_CONFIG. Shape of the file: namesrv/kvconfig/KVConfigSerializeWrapper.java. With a file, a change
 * is on the disk before it counts: where the disk refuses it, nothing has changed. Nobody but who changes something waits
 * for the disk; changes are made one after the other, in the order they were asked for.
 */
import { dirname } from "node:path";
import { CometError } from "../../base/errors.js";
import type { Disk } from "../../io/disk.js";
import { parseFastjson, toFastjson } from "../../remoting/fastjson.js";
import { asKey, asMap, asTextMap, mapMember } from "../protocol/members.js";

export const NAMESPACE_ORDER_TOPIC_CONFIG = "ORDER_TOPIC_CONFIG";

export interface KvLimits {
  readonly namespacesMax: number;
  /** Keys of all namespaces together. */
  readonly keysMax: number;
  readonly nameCharsMax: number;
  readonly valueCharsMax: number;
  /** Of all names and values together: every change writes them all, and a namespace has to fit into an answer. */
  readonly charsMax: number;
}

export const KV_LIMITS: KvLimits = {
  namespacesMax: 1024,
  keysMax: 65_536,
  nameCharsMax: 1024,
  valueCharsMax: 65_536,
  charsMax: 4_194_304,
};

type KvValues = Map<string, string>;

export class KvConfig {
  readonly #table = new Map<string, KvValues>();
  readonly #limits: KvLimits;
  readonly #disk: Disk | undefined;
  readonly #path: string;
  #keyCount = 0;
  #charCount = 0;
  /** Done when the last change that was asked for is; never rejects. */
  #last: Promise<void> = Promise.resolve();

  private constructor(limits: KvLimits, disk: Disk | undefined, path: string) {
    this.#limits = limits;
    this.#disk = disk;
    this.#path = path;
  }

  static inMemory(limits = KV_LIMITS): KvConfig {
    return new KvConfig(limits, undefined, "");
  }

  /** Reads the file if there is one. Throws COMETMQ_CONFIG when it is not such a file; it is left as it was. */
  static open(disk: Disk, path: string, limits = KV_LIMITS): KvConfig {
    const config = new KvConfig(limits, disk, path);
    disk.makeDirectory(dirname(path));
    const content = disk.readFile(path);
    if (content !== undefined && content.length > 0) config.#load(content);
    return config;
  }

  #load(content: Buffer): void {
    try {
      const file = asMap(parseFastjson(content) ?? null, "The file");
      for (const [namespace, value] of mapMember(file, "configTable") ?? []) {
        this.#replace(asKey(namespace, "configTable"), asTextMap(value, "configTable"));
      }
    } catch (cause) {
      throw new CometError("COMETMQ_CONFIG", `${this.#path} is not a name server's key-value file.`, { cause });
    }
  }

  get(namespace: string, key: string): string | undefined {
    return this.#table.get(namespace)?.get(key);
  }

  /** Undefined when the namespace was never used. */
  list(namespace: string): ReadonlyMap<string, string> | undefined {
    return this.#table.get(namespace);
  }

  /**
   * Throws or rejects with COMETMQ_BAD_REQUEST past a bound, and rejects with what the disk says; undefined when it counts
   * at once, without a file.
   */
  put(namespace: string, key: string, value: string): Promise<void> | undefined {
    const { nameCharsMax, valueCharsMax } = this.#limits;
    if (namespace.length > nameCharsMax || key.length > nameCharsMax || value.length > valueCharsMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", "The namespace, key or value is too long.");
    }
    return this.#change(namespace, (values) => {
      const known = values?.get(key);
      if (known === undefined) this.#refuseWhenFull(values === undefined);
      this.#refuseWhenLong(value.length - (known === undefined ? -key.length : known.length));
      return new Map(values).set(key, value);
    });
  }

  /** Rejects as `put` does. */
  delete(namespace: string, key: string): Promise<void> | undefined {
    return this.#change(namespace, (values) => {
      if (values === undefined || !values.has(key)) return undefined;
      const next = new Map(values);
      next.delete(key);
      return next;
    });
  }

  /** Every change that was asked for has been made or refused. */
  async settled(): Promise<void> {
    await this.#last;
  }

  #refuseWhenFull(newNamespace: boolean): void {
    const { namespacesMax, keysMax } = this.#limits;
    if (this.#keyCount >= keysMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", `There are ${keysMax} keys already.`);
    }
    if (newNamespace && this.#table.size >= namespacesMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", `There are ${namespacesMax} namespaces already.`);
    }
  }

  #refuseWhenLong(moreChars: number): void {
    const { charsMax } = this.#limits;
    if (moreChars <= 0 || this.#charCount + moreChars <= charsMax) return;
    throw new CometError("COMETMQ_BAD_REQUEST", `Keys and values have ${charsMax} characters already.`);
  }

  /** `edit` makes the new values of the namespace from those it has by then; undefined for no change. */
  #change(namespace: string, edit: (values: KvValues | undefined) => KvValues | undefined): Promise<void> | undefined {
    const disk = this.#disk;
    if (disk === undefined) {
      const next = edit(this.#table.get(namespace));
      if (next !== undefined) this.#replace(namespace, next);
      return undefined;
    }
    const change = this.#last.then(async () => {
      const next = edit(this.#table.get(namespace));
      if (next === undefined) return;
      await disk.replace(this.#path, toFastjson({ configTable: new Map(this.#table).set(namespace, next) }));
      this.#replace(namespace, next);
    });
    this.#last = change.catch(() => {});
    return change;
  }

  #replace(namespace: string, next: KvValues): void {
    const known = this.#table.get(namespace);
    this.#keyCount += next.size - (known?.size ?? 0);
    this.#charCount += charsOf(next) - (known === undefined ? 0 : charsOf(known));
    this.#table.set(namespace, next);
  }
}

function charsOf(values: KvValues): number {
  let chars = 0;
  for (const [key, value] of values) chars += key.length + value.length;
  return chars;
}
