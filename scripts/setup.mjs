/**
 * Gets a clone ready to run: installs the packages and builds `dist/`, each only when something it depends on has
 * changed. `npm start` and `npm test` begin with it. Everything it says goes to stderr. It may import nothing but Node.
 *
 *   node scripts/setup.mjs              set up
 *   node scripts/setup.mjs start …      set up, then run `cometmq start …` in this same process, so that signals reach it
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MODULES = path.join(ROOT, "node_modules");
const DIST = path.join(ROOT, "dist");
const INSTALL_STAMP = path.join(MODULES, ".cometmq-stamp");
const BUILD_STAMP = path.join(DIST, ".stamp");
/** Of each bundle, the file that stands for it. */
const BUNDLES = [path.join(DIST, "command", "main.js"), path.join(DIST, "library", "cometmq.js")];
const BUNDLE_SCRIPT = path.join("scripts", "bundle.mjs");
/** In the order in which the storage engine prefers them. */
const NATIVE_PACKAGES = ["mmap-io", "koffi"];

/** What the person at the terminal has to see, without a stack. */
class SetupFailure extends Error {}

/** Leaves at once when the clone is ready; otherwise one process does the work and the others wait for it. */
export async function setUp() {
  try {
    requireNode();
    if (isInstalled() && isBuilt()) return;
    await withLock(
      path.join(DIST, ".setup-lock"),
      () => {
        if (!isInstalled()) install();
        if (!isBuilt()) build();
      },
      () => say("waiting for another setup of this clone"),
    );
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    say(error.message);
    process.exit(1);
  }
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  throw new SetupFailure(text);
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) fail(`Node 20.19 or newer is needed, this is ${process.version}`);
}

const read = (...parts) => readFileSync(path.join(ROOT, ...parts));
const secondsSince = (startMs) => `${((Date.now() - startMs) / 1000).toFixed(1)} s`;

function readStamp(file) {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function writeStamp(file, stamp) {
  writeFileSync(`${file}.new`, `${stamp}\n`);
  renameSync(`${file}.new`, file);
}

// Packages

function installStamp() {
  const target = `${process.versions.modules} ${process.platform} ${process.arch}`;
  return createHash("sha256").update(read("package-lock.json")).update(target).digest("hex");
}

const isInstalled = () => readStamp(INSTALL_STAMP) === installStamp();

/** True when somebody ran `npm ci` or `npm install` here by hand and all that the lock file asks for is in place. */
function isInstalledByHand() {
  const present = path.join(MODULES, ".package-lock.json");
  if (existsSync(INSTALL_STAMP) || !existsSync(present)) return false;
  const wanted = JSON.parse(read("package-lock.json")).packages;
  const found = JSON.parse(readFileSync(present)).packages;
  return Object.entries(wanted).every(
    ([name, entry]) => name === "" || (found[name] ? found[name].version === entry.version : entry.optional === true),
  );
}

function install() {
  if (!isInstalledByHand()) {
    const startMs = Date.now();
    say("installing packages with npm ci (about half a minute) …");
    const status = runNpm(["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"]);
    if (status !== 0) fail(`npm ci failed with status ${status}; its reasons are above`);
    say(`packages installed in ${secondsSince(startMs)}`);
  }
  say(nativeBackend());
  linkCommand();
  writeStamp(INSTALL_STAMP, installStamp());
}

/** npm links the commands of dependencies, not the project's own: with this `node_modules/.bin/cometmq` is there too. */
function linkCommand() {
  const link = path.join(MODULES, ".bin", "cometmq");
  if (process.platform === "win32" || existsSync(link)) return;
  chmodSync(path.join(ROOT, "bin", "cometmq.mjs"), 0o755);
  rmSync(link, { force: true });
  symlinkSync(path.join("..", "..", "bin", "cometmq.mjs"), link);
}

/** The npm that runs us if one does, else the first in PATH. */
function runNpm(args) {
  const own = process.env.npm_execpath;
  const command = own?.endsWith("npm-cli.js") ? [process.execPath, own] : ["npm"];
  const options = {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
    env: npmEnvironment(),
    shell: process.platform === "win32" && command.length === 1,
  };
  const done = spawnSync(command[0], [...command.slice(1), ...args], options);
  if (done.error) fail(`npm could not be started: ${done.error.message}`);
  return done.status ?? done.signal;
}

/** mmap-io is compiled here: no binary from elsewhere, and no download of headers where Node brought its own. */
function npmEnvironment() {
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  const hasHeaders = existsSync(path.join(prefix, "include", "node", "node_api.h"));
  const env = {
    ...process.env,
    npm_config_build_from_source: "true",
    ...(hasHeaders && { npm_config_nodedir: prefix }),
  };
  delete env.NODE_ENV;
  return env;
}

/** Loads each native package in a process of its own, for one built against another Node may not only throw but crash. */
function nativeBackend() {
  const loads = (name) => {
    const done = spawnSync(process.execPath, ["-e", `require(${JSON.stringify(name)})`], {
      cwd: ROOT,
      stdio: "ignore",
    });
    return done.status === 0;
  };
  const usable = NATIVE_PACKAGES.filter(loads);
  if (usable.length === NATIVE_PACKAGES.length) return `native backend: ${usable[0]} (${usable[1]} loads as well)`;
  if (usable[0] === "koffi")
    return "native backend: koffi (mmap-io could not be compiled here: it needs a C++ compiler, make and Python 3)";
  if (usable.length > 0) return `native backend: ${usable[0]} (koffi has no binary for this platform)`;
  return "native backend: none loads; the plain-file backend works everywhere, slower";
}

// Build

function sourceFiles() {
  return readdirSync(path.join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.relative(path.join(ROOT, "src"), path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

const outputOf = (source) => path.join(DIST, source.replace(/\.ts$/, ".js"));

function buildStamp(sources) {
  const hash = createHash("sha256").update(read("tsconfig.json")).update(read("package-lock.json"));
  hash.update(read(BUNDLE_SCRIPT));
  for (const source of sources) hash.update(`\0${source}\0`).update(read("src", source));
  return hash.digest("hex");
}

function isBuilt() {
  const sources = sourceFiles();
  if (readStamp(BUILD_STAMP) !== buildStamp(sources) || !BUNDLES.every((file) => existsSync(file))) return false;
  return sources.every((source) => existsSync(outputOf(source)));
}

function build() {
  const startMs = Date.now();
  const sources = sourceFiles();
  const stamp = buildStamp(sources);
  say("building dist/ …");
  rmSync(BUILD_STAMP, { force: true });
  const tsc = path.join(MODULES, "typescript", "bin", "tsc");
  runNode("tsc", [tsc, "-p", "tsconfig.json"]);
  removeStaleOutputs(sources);
  runNode(BUNDLE_SCRIPT, [BUNDLE_SCRIPT]);
  writeStamp(BUILD_STAMP, stamp);
  say(`built in ${secondsSince(startMs)}`);
}

function runNode(name, args) {
  const done = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (done.status !== 0) fail(`${name} failed with status ${done.status ?? done.signal}; its reasons are above`);
}

/** A deleted or renamed source must not live on in dist/, where an import would still find it. */
function removeStaleOutputs(sources) {
  const expected = new Set(sources.map((source) => outputOf(source).slice(0, -".js".length)));
  for (const entry of readdirSync(DIST, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    const stem = /^(.*?)(?:\.js|\.js\.map|\.d\.ts)$/.exec(file)?.[1];
    if (entry.isFile() && stem !== undefined && !expected.has(stem)) rmSync(file);
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await setUp();
  if (process.argv.length > 2) {
    process.argv[1] = path.join(ROOT, "bin", "cometmq.mjs");
    await import("../bin/cometmq.mjs");
  }
}
