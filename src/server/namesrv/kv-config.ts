/**
 * Settings that administrators keep at the name server, by namespace and key; the one Apache itself reads is the
 * namespace ORDER_TOPIC_CONFIG. Shape of the file: namesrv/kvconfig/KVConfigSerializeWrapper.java. With a file, a change
 * is on the disk before it counts: where the disk refuses it, nothing has changed.
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
}

export const KV_LIMITS: KvLimits = { namespacesMax: 1024, keysMax: 65_536, nameCharsMax: 1024, valueCharsMax: 65_536 };

export class KvConfig {
  readonly #table = new Map<string, Map<string, string>>();
  readonly #limits: KvLimits;
  readonly #disk: Disk | undefined;
  readonly #path: string;
  #keyCount = 0;

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
        const values = asTextMap(value, "configTable");
        this.#table.set(asKey(namespace, "configTable"), values);
        this.#keyCount += values.size;
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

  /** Throws COMETMQ_BAD_REQUEST past a bound, and what the disk throws. */
  put(namespace: string, key: string, value: string): void {
    const { namespacesMax, keysMax, nameCharsMax, valueCharsMax } = this.#limits;
    const values = this.#table.get(namespace);
    const previous = values?.get(key);
    if (namespace.length > nameCharsMax || key.length > nameCharsMax || value.length > valueCharsMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", "The namespace, key or value is too long.");
    }
    if (previous === undefined && this.#keyCount >= keysMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", `There are ${keysMax} keys already.`);
    }
    if (values === undefined && this.#table.size >= namespacesMax) {
      throw new CometError("COMETMQ_BAD_REQUEST", `There are ${namespacesMax} namespaces already.`);
    }
    const next = new Map(values).set(key, value);
    this.#replace(namespace, values, next);
  }

  delete(namespace: string, key: string): void {
    const values = this.#table.get(namespace);
    if (values === undefined || !values.has(key)) return;
    const next = new Map(values);
    next.delete(key);
    this.#replace(namespace, values, next);
  }

  #replace(namespace: string, previous: Map<string, string> | undefined, next: Map<string, string>): void {
    this.#table.set(namespace, next);
    try {
      this.#disk?.writeAtomically(this.#path, toFastjson({ configTable: this.#table }));
    } catch (error) {
      if (previous === undefined) this.#table.delete(namespace);
      else this.#table.set(namespace, previous);
      throw error;
    }
    this.#keyCount += next.size - (previous?.size ?? 0);
  }
}
