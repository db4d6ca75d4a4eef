/**
 * Apache's Go, Python and Rust clients, built with the toolchains of this machine from the registries that these are set
 * up with, in a cache outside the clone: once for each content of a program's folder.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { withLock } from "../../scripts/lock.mjs";
import { ClientUnavailable } from "./node-client.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CACHE = process.env.COMETMQ_CLIENTS_CACHE ?? path.join(homedir(), ".cache", "cometmq-clients");
const TOPICS = path.join(HERE, "programs-grpc");
const PROGRAM = "program";

/**
 * `needs`: commands that end with 0 where the toolchain is there. `builds`: commands run in a copy of the folder, which
 * then has what `runs` begins with. `env`: what its client reads of the environment, by whether it is to speak TLS and to
 * whom.
 */
export const TOOLCHAIN_CLIENTS = {
  "go-grpc": {
    folder: "go",
    needs: [["go", "version"]],
    builds: [["go", "build", "-o", PROGRAM, "."]],
    runs: [PROGRAM],
    plainCases: /^plain-text$/,
    env: (tls) => ({ "rocketmq.client.enableSsl": String(tls) }),
  },
  "python-grpc": {
    folder: "python",
    needs: [
      ["python3", "--version"],
      ["python3", "-c", "import venv, ensurepip"],
    ],
    builds: [
      ["python3", "-m", "venv", "venv"],
      ["venv/bin/python", "-m", "pip", "install", "--quiet", "-r", "requirements.txt"],
    ],
    runs: ["venv/bin/python", "main.py"],
    plainCases: /^plain-text$/,
    // The one of these clients that looks at certificates.
    env: async (tls, endpoint, scratch) => {
      if (!tls) return { TLS: "false" };
      const file = path.join(scratch, "certificate.pem");
      writeFileSync(file, await certificateOf(endpoint));
      return { TLS: "true", GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: file };
    },
  },
  "rust-grpc": {
    folder: "rust",
    needs: [["cargo", "--version"]],
    builds: [
      ["cargo", "build", "--quiet"],
      ["mv", "target/debug/cometmq-rust-client", PROGRAM],
      ["rm", "-r", "target"],
    ],
    runs: [PROGRAM],
    // The client does not speak TLS.
    plainCases: /./,
    env: () => ({}),
  },
};

/** Where topics.txt is. */
export const TOOLCHAIN_TOPICS = TOPICS;

/** Returns the command that runs the program of `client`. Throws ClientUnavailable when a tool or a registry is missing. */
export async function installToolchainProgram(client) {
  const { folder, needs, builds, runs } = TOOLCHAIN_CLIENTS[client];
  for (const [command, ...args] of needs) {
    const found = spawnSync(command, args, { stdio: "ignore" }).status === 0;
    if (!found) throw new ClientUnavailable(`no ${[command, ...args].join(" ")} here`);
  }
  const source = path.join(HERE, folder);
  const cached = path.join(CACHE, `${client}-${hashOf(source)}`);
  if (!existsSync(cached)) await withLock(path.join(CACHE, "lock"), () => buildOnce(client, source, cached, builds));
  return runs.map((part, index) => (index === 0 || part.includes(".") ? path.join(cached, part) : part));
}

/** What the server shows who comes in by TLS, in PEM. */
function certificateOf(endpoint) {
  const [host, port] = endpoint.split(":");
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] }, () => {
      resolve(socket.getPeerX509Certificate().toString());
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

function hashOf(source) {
  const hash = createHash("sha256");
  for (const name of readdirSync(source, { recursive: true, encoding: "utf8" }).sort()) {
    if (/\.\w+$/.test(name)) hash.update(`\0${name}\0`).update(readFileSync(path.join(source, name)));
  }
  return hash.digest("hex").slice(0, 16);
}

/** The folder becomes `cached` by a rename: it is there whole or not at all. */
async function buildOnce(client, source, cached, builds) {
  if (existsSync(cached)) return;
  mkdirSync(CACHE, { recursive: true });
  const target = mkdtempSync(path.join(CACHE, "new-"));
  try {
    process.stderr.write(`clients: building the program of ${client} (once) …\n`);
    cpSync(source, target, { recursive: true });
    for (const [command, ...args] of builds) {
      const failure = await run(command.includes("/") ? path.join(target, command) : command, args, target);
      if (failure !== undefined) throw new ClientUnavailable(`${command} ${args[0]} failed: ${failure}`);
    }
    renameSync(target, cached);
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

function run(command, args, cwd) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk) => {
      output += chunk;
    };
    child.stdout.on("data", add);
    child.stderr.on("data", add);
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status) => resolve(status === 0 ? undefined : output.trim().replace(/\s+/g, " ").slice(-300)));
  });
}
