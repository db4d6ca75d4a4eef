/**
 * Apache's Node client for gRPC, as npm has it, in a cache outside the clone: fetched once for each version that
 * programs/node-grpc/package.json names.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "../../scripts/lock.mjs";

const CACHE = process.env.COMETMQ_CLIENTS_CACHE ?? path.join(homedir(), ".cache", "cometmq-clients");
export const NODE_PROGRAM = path.join(path.dirname(fileURLToPath(import.meta.url)), "programs", "node-grpc");

/** The package could not be had: no network, or no registry. A reason to skip. */
export class ClientUnavailable extends Error {}

/** Puts the program and its client into `directory`. Returns the program's path. */
export async function installNodeProgram(directory) {
  const modules = await nodeClientModules();
  mkdirSync(directory, { recursive: true });
  for (const file of ["main.mjs", "secured.mjs", "h.mjs", "package.json"]) {
    copyFileSync(path.join(NODE_PROGRAM, file), path.join(directory, file));
  }
  symlinkSync(modules, path.join(directory, "node_modules"));
  return path.join(directory, "main.mjs");
}

/** The folder of packages with the client. */
export async function nodeClientModules() {
  const manifest = path.join(NODE_PROGRAM, "package.json");
  const hash = createHash("sha256").update(readFileSync(manifest)).digest("hex").slice(0, 16);
  const cached = path.join(CACHE, `node-grpc-${hash}`);
  if (!existsSync(cached)) await withLock(path.join(CACHE, "lock"), () => fetchOnce(manifest, cached));
  return path.join(cached, "node_modules");
}

/** The folder becomes `cached` by a rename: it is there whole or not at all. */
async function fetchOnce(manifest, cached) {
  if (existsSync(cached)) return;
  mkdirSync(CACHE, { recursive: true });
  const target = mkdtempSync(path.join(CACHE, "new-"));
  try {
    process.stderr.write("clients: fetching Apache's Node client with npm (once) …\n");
    copyFileSync(manifest, path.join(target, "package.json"));
    const failure = await npmInstall(target);
    if (failure !== undefined) throw new ClientUnavailable(`npm could not fetch Apache's Node client: ${failure}`);
    renameSync(target, cached);
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

function npmInstall(cwd) {
  return new Promise((resolve) => {
    const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    const child = spawn("npm", args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk) => {
      output += chunk;
    };
    child.stdout.on("data", add);
    child.stderr.on("data", add);
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status) => resolve(status === 0 ? undefined : output.trim().slice(-300)));
  });
}
