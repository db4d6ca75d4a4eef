/** Runs one block of a page, and compares what it prints with what the page says. */
import { basename, join } from "node:path";
import { expect } from "vitest";
import { POSTGRES_PROGRAMS, type Postgres, startPostgres } from "../client/postgres.js";
import { ClientUnavailable, nodeClientModules } from "../clients/node-client.mjs";
import { buildJava, JarsUnavailable, missingTool } from "../java/build.mjs";
import { type Block, ROOT } from "./blocks.js";
import type { Outcome, PageRun } from "./sandbox.js";

const APACHE_NODE_CLIENT = "rocketmq-client-nodejs";
const SERVER = /^(?:npx )?cometmq (?:start|namesrv|broker)\b/;

/** Thrown where this machine lacks what a block needs: a reason to skip. */
export class Lacking extends Error {}

/** `compiled` is what TypeScript made of the block. */
export async function runBlock(page: PageRun, block: Block, compiled?: string): Promise<void> {
  const { language, text, file } = block;
  if (block.stopsServer) await page.stop();
  if (file !== undefined) return page.write(file, text);
  if (language === "sh" && SERVER.test(command(text))) return printed(page, block, await page.serve(command(text)));
  if (!page.hasServer && !block.stopsServer && needsServer(`${text}${block.setup}`)) {
    await page.serve("cometmq start --data default-data");
  }
  if (block.setup !== undefined) succeeded(await page.sh(block.setup));
  if (language === "sh") {
    if (/\bmqadmin /.test(text)) page.setEnv("MQADMIN_CLASS_PATH", await javaClassPath("clients"));
    return printed(page, block, succeeded(await page.sh(text)));
  }
  if (language === "java") return printed(page, block, succeeded(await java(page, text)));
  printed(page, block, succeeded(await node(page, block, compiled ?? text)));
}

function command(text: string): string {
  return text
    .replace(/\s+#.*$/gm, "")
    .replace(/\\\n/g, "")
    .trim();
}

/** Blocks with an address that nobody gave them, and the verbs that talk to a cluster. */
function needsServer(text: string): boolean {
  return (
    /(?:127\.0\.0\.1|localhost):(?:9876|8081|10911)|NAMESRV_ADDR/.test(text) ||
    /cometmq (?:topic|group|produce|consume|message|lag|offset|dlq|timer|config|bench (?!store|compare))\b/.test(text)
  );
}

async function node(page: PageRun, block: Block, text: string): Promise<Outcome> {
  if (text.includes(`"${APACHE_NODE_CLIENT}"`)) {
    const modules = await nodeClientModules().catch((error: unknown) => {
      throw error instanceof ClientUnavailable ? new Lacking(error.message) : error;
    });
    page.link(APACHE_NODE_CLIENT, join(modules, APACHE_NODE_CLIENT));
  }
  if (/from "pg"/.test(text)) return withPostgres(page, block, text);
  return nodeFile(page, block, text);
}

async function nodeFile(page: PageRun, block: Block, text: string): Promise<Outcome> {
  const line = /:(\d+)$/.exec(block.at)![1];
  if (/from "vitest"/.test(text)) {
    page.write(`block-${line}.test.mjs`, text);
    const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
    return page.run(process.execPath, [vitest, "run", "--root", page.directory]);
  }
  const name = `block-${line}.mjs`;
  page.write(name, text);
  return page.run(process.execPath, [name]);
}

/** `new pg.Pool()` goes by the environment. */
async function withPostgres(page: PageRun, block: Block, text: string): Promise<Outcome> {
  if (POSTGRES_PROGRAMS === undefined) throw new Lacking("PostgreSQL is not installed here");
  const postgres: Postgres = await startPostgres();
  try {
    const { host, port, user, database } = postgres.pool.options;
    page.setEnv("PGHOST", host!);
    page.setEnv("PGPORT", String(port));
    page.setEnv("PGUSER", user!);
    page.setEnv("PGDATABASE", database!);
    return await nodeFile(page, block, text);
  } finally {
    await postgres.stop();
  }
}

/** Of Apache's clients of the Remoting protocol, with its tools, or of gRPC. */
async function javaClassPath(programs: "clients" | "clients-grpc"): Promise<string> {
  const lacking = missingTool();
  if (lacking !== undefined) throw new Lacking(lacking);
  return buildJava(programs).catch((error: unknown) => {
    throw error instanceof JarsUnavailable ? new Lacking(error.message) : error;
  });
}

async function java(page: PageRun, text: string): Promise<Outcome> {
  const classPath = await javaClassPath(/rocketmq\.client\.apis/.test(text) ? "clients-grpc" : "clients");
  const name = /public class (\w+)/.exec(text)![1]!;
  page.write(`${name}.java`, text);
  return page.run("java", [
    "-XX:TieredStopAtLevel=1",
    "-cp",
    classPath,
    `-Drocketmq.log.root=${page.directory}`,
    `-Duser.home=${page.directory}`,
    `${name}.java`,
  ]);
}

function succeeded({ status, out, err }: Outcome): string {
  if (status !== 0) expect.fail(`ended with ${status}\n${out}${err}`);
  return out;
}

/** The page's words, `…` for anything; a line of nothing else for any lines. */
function printed(page: PageRun, { at, output }: Block, out: string): void {
  if (output === undefined) return;
  const lines = page.placed(output).trimEnd().split("\n");
  const pattern = lines.map((line) => (line.trim() === "…" ? "[\\s\\S]*?" : quoted(line.trimEnd()))).join("\\n");
  const found = out
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trimEnd();
  expect(new RegExp(`^${pattern}$`).test(found), `${basename(at)} prints\n${found}\nand not\n${output}`).toBe(true);
}

function quoted(line: string): string {
  return line
    .split("…")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
}
