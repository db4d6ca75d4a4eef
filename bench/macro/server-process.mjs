/** Servers as child processes: free ports, waiting until they answer, and ending them by their process id. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export const HOST = "127.0.0.1";
const READY_MS = 120_000;
const STOP_MS = 20_000;
const POLL_MS = 20;

/**
 * A server that runs and the load can be pointed at.
 *
 * @typedef {object} RunningServer
 * @property {string} broker host:port
 * @property {string} grpc host:port, where the server has such an endpoint
 * @property {string} namesrv host:port
 * @property {number} pid of the process whose CPU is counted
 * @property {number} startMs from the start of the processes to the broker's open port
 * @property {() => Promise<void>} stop
 */

/** Processes started and not yet ended, so that an interrupted run leaves none behind. */
const running = new Set();

/**
 * @param {string[]} commandLine program and arguments
 * @param {string} logPath what it prints goes there
 * @param {string} cwd
 * @returns {import("node:child_process").ChildProcess & {pid: number}}
 */
export function startProcess([program, ...args], logPath, cwd) {
  const log = openSync(logPath, "a");
  const child = spawn(/** @type {string} */ (program), args, { cwd, stdio: ["ignore", log, log] });
  closeSync(log);
  child.on("error", () => {}); // reported by `waitUntil` as a process that ended
  if (child.pid === undefined) throw new Error(`${program} cannot be started`);
  running.add(child);
  child.once("exit", () => running.delete(child));
  return /** @type {import("node:child_process").ChildProcess & {pid: number}} */ (child);
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {string} logPath
 * @param {() => Promise<boolean> | boolean} isReady
 */
export async function waitUntil(child, logPath, isReady) {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended at once:\n${logTail(logPath)}`);
    if (await isReady()) return;
    if (Date.now() > deadline) throw new Error(`not ready after ${READY_MS} ms:\n${logTail(logPath)}`);
    await delay(POLL_MS);
  }
}

/** @param {string} logPath */
function logTail(logPath) {
  return readFileSync(logPath, "utf8").slice(-2_000);
}

/** @param {import("node:child_process").ChildProcess} child */
export async function stopProcess(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const kill = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(kill);
}

/** For a run that is interrupted: no time for an orderly end. */
export function killAll() {
  for (const child of running) child.kill("SIGKILL");
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
export function isPortOpen(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isPortFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: HOST, port }, () => server.close(() => resolve(true)));
  });
}

/**
 * Finds a port of which some neighbours are free too: a broker also takes its port - 2 (fast) and + 1 (replication).
 *
 * @param {number} base where to begin
 * @param {number[]} neighbours offsets, 0 among them
 * @returns {Promise<number>}
 */
export async function freePort(base, neighbours) {
  for (let port = base; port < base + 2_000; port += 10) {
    const free = await Promise.all(neighbours.map((neighbour) => isPortFree(port + neighbour)));
    if (free.every((isFree) => isFree)) return port;
  }
  throw new Error(`no free ports above ${base}`);
}
