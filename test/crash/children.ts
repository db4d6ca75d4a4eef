/** Child processes of the crash tests: started, listened to, killed by pid, never left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll } from "vitest";

const PROGRAMS = join(import.meta.dirname, "programs");
const running = new Set<ChildProcess>();

afterAll(() => {
  for (const child of running) child.kill("SIGKILL");
});

export class Child {
  readonly #child: ChildProcess;
  readonly #ended: Promise<string>;
  #stdout = "";
  #stderr = "";
  #heard: () => void = () => {};

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(process.execPath, command, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    running.add(this.#child);
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#heard();
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => {
        running.delete(this.#child);
        this.#heard();
        resolve(signal ?? String(code));
      });
    });
  }

  /** Resolves with the line on stdout that begins so; rejects when the child ends or the time is over before it comes. */
  async line(start: string, timeoutMs: number): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const line = this.#stdout.split("\n").find((text, i, all) => text.startsWith(start) && i < all.length - 1);
      if (line !== undefined) return line;
      const left = deadline - performance.now();
      if (left <= 0 || !running.has(this.#child)) throw new Error(`no "${start}" from the child: ${this.#stderr}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  }

  /** Kills it outright; throws when it had ended by itself before. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    const end = await this.#ended;
    if (end !== "SIGKILL") throw new Error(`the child ended by itself (${end}): ${this.#stderr}`);
  }

  /** Waits for its end; answers its stdout, and throws unless its exit code is 0. */
  async finish(timeoutMs: number): Promise<string> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), timeoutMs);
    const end = await this.#ended;
    clearTimeout(timer);
    if (end !== "0") throw new Error(`the child ended with ${end}: ${this.#stderr}`);
    return this.#stdout;
  }

  /** Asks it to end (SIGTERM) and waits for it. */
  async terminate(timeoutMs: number): Promise<string> {
    this.#child.kill("SIGTERM");
    return this.finish(timeoutMs);
  }
}

export function startProgram(name: string, argument: object): Child {
  return new Child([join(PROGRAMS, name), JSON.stringify(argument)]);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** COMETMQ_CRASH_ROUNDS, or what is enough for every change. */
export function crashRounds(usual: number): number {
  return Number(process.env.COMETMQ_CRASH_ROUNDS ?? usual);
}
