/**
 * Where the pages' blocks are run: a directory for each page, in which `cometmq` is this package, and a server for each page
 * that needs one. Addresses in a block are those of the page's server, whatever ports it has.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { ROOT } from "./blocks.js";

const COMMAND = join(ROOT, "bin", "cometmq.mjs");
const BLOCK_MS = 50_000;
const FOLLOW_SECONDS = 2;

/** What blocks import besides this package. */
const PACKAGES = ["vitest", "@types", "@electric-sql", "node-sqlite3-wasm", "pg"];

/** Small files: nobody waits for gigabytes. */
const SMALL = "mappedFileSizeCommitLog=16777216\nmappedFileSizeConsumeQueue=120000\nmappedFileSizeTimerLog=1048576\n";

/** Free ports for servers, small files unless the page says what size they are, and a Ctrl-C for what never ends. */
const SHIM = (bin: string): string => `#!/usr/bin/env bash
case "$1" in
  start)
    conf=/dev/null
    args=()
    while [ $# -gt 0 ]; do
      if [ "$1" = -c ]; then conf=$2; shift; else args+=("$1"); fi
      shift
    done
    cat "${bin}/small.conf" "$conf" > .started.conf
    exec "${process.execPath}" "${COMMAND}" "\${args[@]}" -c .started.conf --namesrv-port 0 --broker-port 0 --grpc-port 0 ;;
  namesrv) exec "${process.execPath}" "${COMMAND}" "$@" --namesrv-port 0 ;;
  broker) exec "${process.execPath}" "${COMMAND}" "$@" --broker-port 0 ;;
esac
for word in "$@"; do
  if [ "$word" = -f ] || [ "$word" = --follow ]; then
    exec timeout --foreground --preserve-status -s INT ${FOLLOW_SECONDS} "${process.execPath}" "${COMMAND}" "$@"
  fi
done
exec "${process.execPath}" "${COMMAND}" "$@"
`;
/** Apache's, with `conf/tools.yml` of the page's directory. */
const MQADMIN = `#!/usr/bin/env bash
exec java -cp "$MQADMIN_CLASS_PATH" -Drocketmq.home.dir="$PWD" -Duser.home="$PWD" org.apache.rocketmq.tools.command.MQAdminStartup "$@"
`;
const NPX = `#!/usr/bin/env bash
exec "$@"
`;

export interface Outcome {
  readonly status: number | string;
  readonly out: string;
  readonly err: string;
}

export class Sandbox {
  readonly directory: string = mkdtempSync(join(tmpdir(), "cometmq-docs-"));
  readonly #bin = join(this.directory, "bin");

  constructor() {
    mkdirSync(this.#bin);
    mkdirSync(join(this.directory, "node_modules"));
    writeFileSync(join(this.directory, "package.json"), '{ "type": "module" }\n');
    writeFileSync(join(this.#bin, "small.conf"), SMALL);
    for (const [name, text] of [
      ["cometmq", SHIM(this.#bin)],
      ["npx", NPX],
      ["mqadmin", MQADMIN],
    ] as const) {
      writeFileSync(join(this.#bin, name), text);
      chmodSync(join(this.#bin, name), 0o755);
    }
    const modules = join(this.directory, "node_modules");
    symlinkSync(ROOT, join(modules, "cometmq"));
    for (const name of PACKAGES) symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }

  /** The directory of a page. */
  page(name: string): PageRun {
    const directory = join(this.directory, name.replace(/\W+/g, "-"));
    mkdirSync(directory, { recursive: true });
    return new PageRun(directory, this.#bin);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What pages write, and what it is here. */
const PLACES = [
  ["namesrv", /\b(?:127\.0\.0\.1|localhost):9876\b/g],
  ["broker", /\b(?:127\.0\.0\.1|localhost):10911\b/g],
  ["grpc", /\b(?:127\.0\.0\.1|localhost):8081\b/g],
] as const;

export class PageRun {
  readonly directory: string;
  readonly #env: NodeJS.ProcessEnv;
  #server: ChildProcess | undefined;
  #ready: ReadonlyMap<string, string> = new Map();

  constructor(directory: string, bin: string) {
    this.directory = directory;
    const { NAMESRV_ADDR: _none, ...env } = process.env;
    for (const name of Object.keys(env)) if (/^VITEST|^COMETMQ_|^NODE_V8/.test(name)) delete env[name];
    this.#env = { ...env, COMETMQ_ROOT: ROOT, NO_COLOR: "1", PATH: `${bin}${delimiter}${process.env["PATH"]}` };
  }

  /** Makes a package one that this page's blocks can import. */
  link(name: string, target: string): void {
    const modules = join(this.directory, "node_modules");
    mkdirSync(modules, { recursive: true });
    if (!existsSync(join(modules, name))) symlinkSync(target, join(modules, name));
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.directory, file)), { recursive: true });
    writeFileSync(join(this.directory, file), this.placed(text));
  }

  /** The text with this page's addresses. */
  placed(text: string): string {
    let placed = text;
    for (const [name, pattern] of PLACES) {
      const address = this.#ready.get(name);
      if (address !== undefined) placed = placed.replace(pattern, address);
    }
    return placed;
  }

  setEnv(name: string, value: string): void {
    this.#env[name] = value;
  }

  get hasServer(): boolean {
    return this.#server !== undefined;
  }

  /** Starts a server and waits until it says that it is ready; the one before ends first. Resolves with that line. */
  async serve(command: string): Promise<string> {
    await this.stop();
    const child = spawn("bash", ["-c", `exec ${command}`], { cwd: this.directory, env: this.#env });
    this.#server = child;
    let out = "";
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => {
      err += chunk.toString();
    });
    const line = await new Promise<string>((resolve, reject) => {
      child.on("exit", (status) => reject(new Error(`${command} ended with ${status}: ${err}`)));
      child.stdout.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        const ready = /^ready .*$/m.exec(out)?.[0];
        if (ready !== undefined) resolve(ready);
      });
    });
    const parts = line.split(" ").slice(1);
    this.#ready = new Map(parts.map((part) => part.split("=") as [string, string]));
    const namesrv = this.#ready.get("namesrv");
    if (namesrv !== undefined) this.#env["NAMESRV_ADDR"] = namesrv;
    return line;
  }

  /** In order, as by Ctrl-C. */
  async stop(): Promise<void> {
    const child = this.#server;
    this.#server = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.removeAllListeners("exit");
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const status = await exit;
    if (status !== 0) throw new Error(`the server ended with ${status}`);
  }

  sh(script: string): Promise<Outcome> {
    return this.run("bash", ["-e", "-o", "pipefail", "-c", this.placed(script)]);
  }

  /** A time limit ends it with all that it started. */
  run(command: string, args: readonly string[]): Promise<Outcome> {
    const child = spawn(command, args, { cwd: this.directory, env: this.#env, detached: true });
    child.stdin.end();
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      err += chunk.toString();
    });
    const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), BLOCK_MS);
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ status: code ?? signal!, out, err });
      });
    });
  }
}
