/**
 * Compiles the Java programs of this repository against Apache's released jars, on demand, into a cache outside the
 * clone. The cache is keyed by content, so nothing in it is ever stale. Run as a script it builds them all, which a CI
 * machine does once up front.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "../../scripts/lock.mjs";

const TESTS = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const CACHE = process.env.COMETMQ_JAVA_CACHE ?? path.join(homedir(), ".cache", "cometmq-java");
const COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies";
const JDK_MIN = 17;

const CLIENTS = path.join(TESTS, "clients", "programs");

/** Folders with a pom.xml that names the jars, and sources; of the same name the later folder's file counts. */
const PROGRAMS = {
  golden: [path.join(TESTS, "java", "golden")],
  filter: [path.join(TESTS, "java", "filter")],
  servers: [path.join(TESTS, "java", "servers")],
  released: [path.join(TESTS, "java", "released")],
  proxy: [path.join(TESTS, "java", "proxy")],
  clients: [CLIENTS],
  "clients-4.9.7": [
    path.join(CLIENTS, "common"),
    path.join(CLIENTS, "remoting"),
    path.join(TESTS, "clients", "programs-4.9.7"),
  ],
  "clients-grpc": [path.join(CLIENTS, "common"), path.join(TESTS, "clients", "programs-grpc")],
};

/** The jars could not be had: no network, or no Maven Central. A reason to skip, while a compiler's error is not. */
export class JarsUnavailable extends Error {}

let missing;

/** What this machine lacks to build and run the programs, in words, or undefined when nothing. */
export function missingTool() {
  missing ??= { text: findMissingTool() };
  return missing.text;
}

function findMissingTool() {
  const javac = spawnSync("javac", ["-version"], { encoding: "utf8" });
  const version = Number(/javac (\d+)/.exec(`${javac.stdout}${javac.stderr}`)?.[1] ?? 0);
  if (version < JDK_MIN) return version === 0 ? "no JDK (javac) here" : `the JDK is ${version}, ${JDK_MIN} is needed`;
  if (spawnSync("mvn", ["-v"], { stdio: "ignore" }).status !== 0) return "no Maven (mvn) here";
  return undefined;
}

/** Builds the programs of `name` unless that was done before. Returns the class path. */
export async function buildJava(name) {
  const folders = PROGRAMS[name];
  const byName = new Map(folders.flatMap(javaFiles).map((file) => [path.basename(file), file]));
  const sources = [...byName.values()].sort();
  const pom = path.join(folders.at(-1), "pom.xml");
  const jars = path.join(CACHE, `jars-${hashOf([pom])}`);
  const classes = path.join(CACHE, `${name}-${hashOf([pom, ...sources])}`);
  if (!existsSync(jars) || !existsSync(classes)) {
    await withLock(path.join(CACHE, "lock"), async () => {
      await makeOnce(jars, (target) => copyJars(pom, target));
      await makeOnce(classes, (target) => (sources.length > 0 ? compile(sources, jars, target) : undefined));
    });
  }
  return [classes, path.join(jars, "*")].join(path.delimiter);
}

function javaFiles(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".java"))
    .map((file) => path.join(folder, file));
}

function hashOf(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`\0${path.basename(file)}\0`).update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

/** `make` fills a folder that becomes `directory` by a rename: it is there whole or not at all. */
async function makeOnce(directory, make) {
  if (existsSync(directory)) return;
  mkdirSync(CACHE, { recursive: true });
  const target = mkdtempSync(path.join(CACHE, "new-"));
  try {
    await make(target);
    renameSync(target, directory);
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

async function copyJars(pom, target) {
  process.stderr.write("java: fetching Apache's jars with Maven (once) …\n");
  const done = await run("mvn", [
    "-q",
    "-B",
    "-f",
    pom,
    COPY_JARS,
    `-DoutputDirectory=${target}`,
    "-DincludeScope=runtime",
  ]);
  if (done.status !== 0) throw new JarsUnavailable(`Maven could not fetch Apache's jars: ${lastLine(done.output)}`);
}

async function compile(sources, jars, target) {
  const done = await run("javac", [
    "-nowarn",
    "-encoding",
    "UTF-8",
    "-d",
    target,
    "-cp",
    path.join(jars, "*"),
    ...sources,
  ]);
  if (done.status !== 0) throw new Error(`javac failed:\n${done.output}`);
}

const lastLine = (text) =>
  text
    .trim()
    .split("\n")
    .find((line) => line.includes("ERROR")) ?? text.trim().split("\n").at(-1);

/** Runs a program without input to its end; `output` is what it printed on both streams. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const add = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", add);
    child.stderr.setEncoding("utf8").on("data", add);
    child.on("error", (error) => resolve({ status: -1, output: error.message }));
    child.on("close", (status) => resolve({ status, output }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lack = missingTool();
  if (lack !== undefined) process.stdout.write(`java: nothing built: ${lack}\n`);
  else for (const name of Object.keys(PROGRAMS)) process.stdout.write(`java: ${name}: ${await buildJava(name)}\n`);
}
