/** `cometmq start` in a process of its own, to be hurt. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MovedBack } from "./history.js";
import { onEnd } from "./scratch.js";

const COMETMQ = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const READY_MS = 60_000;

/** Small files, so that a minute sees what otherwise takes days; offsets are saved often. */
const CONFIG: Readonly<Record<string, string | number | boolean>> = {
  mappedFileSizeCommitLog: 1024 * 1024,
  mappedFileSizeConsumeQueue: 40_000,
  maxHashSlotNum: 1000,
  maxIndexNum: 4000,
  flushConsumerOffsetInterval: 200,
};

export interface ServerOptions {
  /** Holds broker.conf and store/. */
  readonly directory: string;
  readonly config?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: NodeJS.ProcessEnv;
  /** 0: free ones. */
  readonly ports?: { readonly namesrv: number; readonly broker: number };
}

export class Server {
  readonly directory: string;
  readonly port: number;
  readonly namesrvPort: number;
  readonly startedInMs: number;
  readonly #output: Output;

  private constructor(directory: string, output: Output, ready: string, startedInMs: number) {
    this.directory = directory;
    this.#output = output;
    this.startedInMs = startedInMs;
    this.port = Number(/\bbroker=\S+:(\d+)/.exec(ready)?.[1]);
    this.namesrvPort = Number(/\bnamesrv=\S+:(\d+)/.exec(ready)?.[1]);
  }

  /** Rejects, with what it said, when it ends before it serves. */
  static async start({ directory, config = {}, env = {}, ports }: ServerOptions): Promise<Server> {
    const conf = join(directory, "broker.conf");
    mkdirSync(directory, { recursive: true });
    const lines = Object.entries({ ...CONFIG, ...config }).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(conf, lines.join(""));
    const { namesrv, broker } = ports ?? { namesrv: 0, broker: 0 };
    const args = ["start", "-c", conf, "--data", join(directory, "store"), "--grpc-port", "0"];
    args.push("--namesrv-port", String(namesrv), "--broker-port", String(broker));
    const startedMs = performance.now();
    const child = spawn(process.execPath, [COMETMQ, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, CI: "true", ...env },
    });
    const output = new Output(child);
    onEnd(() => output.end());
    const ready = await output.line(/^ready .*$/m);
    return new Server(directory, output, ready, performance.now() - startedMs);
  }

  get pid(): number {
    return this.#output.child.pid!;
  }

  /** What it has logged, and said on stderr. */
  get stderr(): string {
    return this.#output.stderr;
  }

  get running(): boolean {
    return this.#output.running;
  }

  /** What it has logged of commits that went back. */
  get movedBack(): MovedBack[] {
    const lines = this.stderr.split("\n").filter((line) => line.includes('"a consumer moved its offset back"'));
    return lines.map((line) => {
      const { group, topic, queueId, offset, before } = JSON.parse(line);
      return { group, queue: `${topic}/${queueId}`, offset, before };
    });
  }

  /** Exit status, or the signal's name. */
  get ended(): Promise<string> {
    return this.#output.ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.#output.child.kill(signal);
  }

  /** Throws when it had ended by itself. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    const end = await this.ended;
    if (end !== "SIGKILL") throw new Error(`the server ended by itself (${end}): ${this.stderr}`);
  }

  /** SIGTERM; resolves with the exit status. */
  async stop(patienceMs = 30_000): Promise<string> {
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), patienceMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** Memory of its own, without the pages of files it has mapped. */
  get privateBytes(): number {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "latin1"))?.[1]) * 1024;
  }

  get handleCount(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** What they are open on. */
  get handles(): string[] {
    const directory = `/proc/${this.pid}/fd`;
    return readdirSync(directory).flatMap((fd) => {
      try {
        return [readlinkSync(join(directory, fd))];
      } catch {
        return [];
      }
    });
  }

  /** Maps of the store's files; those of memory are V8's own business, and in `privateBytes`. */
  get storeMapCount(): number {
    return readFileSync(`/proc/${this.pid}/maps`, "latin1").split(`${this.directory}/`).length - 1;
  }

  /** Each has a handle and a map. */
  get segmentCount(): number {
    return readdirSync(join(this.directory, "store", "commitlog")).length;
  }

  get threadCount(): number {
    return readdirSync(`/proc/${this.pid}/task`).length;
  }
}

class Output {
  readonly child: ChildProcess;
  readonly ended: Promise<string>;
  stderr = "";
  running = true;
  #stdout = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      child.on("error", (error) => resolve(error.message));
      child.on("close", (code, signal) => resolve(signal ?? String(code)));
    });
    void this.ended.then(() => {
      this.running = false;
    });
  }

  async line(wanted: RegExp): Promise<string> {
    const deadline = performance.now() + READY_MS;
    for (;;) {
      const found = wanted.exec(this.#stdout)?.[0];
      if (found !== undefined) return found;
      if (!this.running) throw new Error(`the server did not start (${await this.ended}): ${this.stderr}`);
      if (performance.now() > deadline) throw new Error(`the server is not ready: ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async end(): Promise<void> {
    if (!this.running) return;
    this.child.kill("SIGCONT");
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
