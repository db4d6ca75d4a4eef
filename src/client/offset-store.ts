/**
 * How far a group is in its queues: at the brokers in clustering, in a file in broadcasting
 * (client/consumer/store/RemoteBrokerOffsetStore.java, LocalFileOffsetStore.java).
 */
import { dirname, join } from "node:path";
import { integerIn, mapIn, parseFastjson, toPrettyFastjson } from "../remoting/fastjson.js";
import type { ClientInstance } from "./client-instance.js";
import { configError } from "./errors.js";
import { type MessageQueue, queueKey } from "./message-queue.js";
import type { CallOptions } from "./options.js";
import { commitOffset, committedOffset } from "./queue-offsets.js";

export interface OffsetStore {
  /** Before the first `load`, where there is something to read. Rejects with COMETMQ_CONFIG where that makes no sense. */
  open?(): Promise<void>;
  /** What is kept outside of this process; undefined when there is nothing. */
  load(queue: MessageQueue): Promise<number | undefined>;
  /** In memory; goes out with `persist`. */
  update(queue: MessageQueue, offset: number): void;
  /** As in memory. */
  peek(queue: MessageQueue): number | undefined;
  forget(queue: MessageQueue): void;
  /** Never rejects: what could not be saved is tried again with the next one. */
  persist(): Promise<void>;
}

interface Progress {
  readonly queue: MessageQueue;
  offset: number;
  saved: number | undefined;
}

export class BrokerOffsetStore implements OffsetStore {
  readonly #instance: ClientInstance;
  readonly #group: string;
  readonly #progress = new Map<string, Progress>();

  constructor(instance: ClientInstance, group: string) {
    this.#instance = instance;
    this.#group = group;
  }

  load(queue: MessageQueue): Promise<number | undefined> {
    return committedOffset(this.#instance, this.#group, queue);
  }

  update(queue: MessageQueue, offset: number): void {
    const known = this.#progress.get(queueKey(queue));
    if (known === undefined) this.#progress.set(queueKey(queue), { queue, offset, saved: undefined });
    else known.offset = offset;
  }

  peek(queue: MessageQueue): number | undefined {
    return this.#progress.get(queueKey(queue))?.offset;
  }

  forget(queue: MessageQueue): void {
    this.#progress.delete(queueKey(queue));
  }

  async persist(): Promise<void> {
    await Promise.all([...this.#progress.values()].map((progress) => this.#save(progress)));
  }

  /** As `persist`, but rejects with the first error once all were tried. */
  async save(options: CallOptions): Promise<void> {
    const saves = await Promise.allSettled([...this.#progress.values()].map((one) => this.#commit(one, options)));
    for (const result of saves) if (result.status === "rejected") throw result.reason;
  }

  async #save(progress: Progress): Promise<void> {
    try {
      await this.#commit(progress);
    } catch (error) {
      const { queue, offset } = progress;
      this.#instance.settings.log.warn({ err: error, ...queue, offset }, "an offset could not be saved");
    }
  }

  async #commit(progress: Progress, options?: CallOptions): Promise<void> {
    const { queue, offset, saved } = progress;
    if (offset === saved) return;
    await commitOffset(this.#instance, this.#group, queue, offset, options);
    progress.saved = offset;
  }
}

/** Apache's file: `offsets.json` with `offsetTable`, a queue as the key of its offset; the one before it is `.bak`. */
export class FileOffsetStore implements OffsetStore {
  readonly #path: string;
  readonly #offsets = new Map<string, { queue: MessageQueue; offset: number }>();
  readonly #instance: ClientInstance;
  #changed = false;

  constructor(instance: ClientInstance, directory: string, clientId: string, group: string) {
    this.#instance = instance;
    // Neither name may lead out of the directory.
    const folder = (name: string) => encodeURIComponent(name).replaceAll(".", "%2E");
    this.#path = join(directory, folder(clientId), folder(group), "offsets.json");
  }

  /** What cannot be read is not taken for nothing: the group would pass over messages, and the file be written over. */
  async open(): Promise<void> {
    const disk = await fileDisk();
    const text = disk.readFile(this.#path);
    const offsetTable = tableIn(text) ?? tableIn(disk.readFile(`${this.#path}.bak`));
    if (offsetTable === undefined && text !== undefined && text.length > 0)
      throw configError(`${this.#path} holds no offsets. Put it right, or remove it.`);
    this.#take(offsetTable ?? []);
  }

  async load(queue: MessageQueue): Promise<number | undefined> {
    return this.peek(queue);
  }

  update(queue: MessageQueue, offset: number): void {
    this.#offsets.set(queueKey(queue), { queue, offset });
    this.#changed = true;
  }

  peek(queue: MessageQueue): number | undefined {
    return this.#offsets.get(queueKey(queue))?.offset;
  }

  /** A queue that goes comes back in broadcasting, so what is known of it is kept. */
  forget(): void {}

  async persist(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const offsetTable = new Map<object, number>();
    for (const { queue, offset } of this.#offsets.values()) {
      const { brokerName, queueId, topic } = queue;
      offsetTable.set({ brokerName, queueId, topic }, offset);
    }
    try {
      const disk = await fileDisk();
      disk.makeDirectory(dirname(this.#path));
      await disk.replace(this.#path, toPrettyFastjson({ offsetTable }));
    } catch (error) {
      this.#changed = true;
      this.#instance.settings.log.warn({ err: error, path: this.#path }, "offsets could not be saved");
    }
  }

  #take(offsetTable: Iterable<readonly [unknown, unknown]>): void {
    for (const [key, offset] of offsetTable) {
      if (!(key instanceof Map) || typeof offset !== "number") continue;
      const [topic, brokerName, queueId] = [key.get("topic"), key.get("brokerName"), integerIn(key, "queueId")];
      if (typeof topic !== "string" || typeof brokerName !== "string" || queueId === undefined) continue;
      const queue = { topic, brokerName, queueId };
      this.#offsets.set(queueKey(queue), { queue, offset });
    }
  }
}

function tableIn(content: Buffer | undefined) {
  return content === undefined ? undefined : mapIn(parseFastjson(content), "offsetTable");
}

/** Only who consumes by broadcasting loads it. */
async function fileDisk() {
  const { FileDisk } = await import("../io/file-disk.js");
  return new FileDisk("file");
}
