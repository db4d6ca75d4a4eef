/** CometMQ as its users start it: name server and broker in one Node process, in a data folder of its own. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, HOST, startProcess, stopProcess, waitUntil } from "./server-process.mjs";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PROGRAM = join(ROOT, "bin", "cometmq.mjs");
/** The command builds what is missing: that must not happen within the start time, so it has to be there before. */
const BUILT_MAIN = join(ROOT, "dist", "cli", "main.js");

/**
 * @param {object} options
 * @param {string} options.dir everything it writes goes there
 * @param {string[]} options.prefix of the command line, such as taskset
 * @param {number} options.basePort
 * @returns {Promise<import("./server-process.mjs").RunningServer>}
 */
export async function startComet({ dir, prefix, basePort }) {
  for (const path of [PROGRAM, BUILT_MAIN]) if (!existsSync(path)) throw new Error(`CometMQ is not built: no ${path}`);
  mkdirSync(dir, { recursive: true });
  const namesrvPort = await freePort(basePort, [0]);
  const brokerPort = await freePort(namesrvPort + 10, [-2, 0, 1]);
  const ports = ["--namesrv-port", String(namesrvPort), "--broker-port", String(brokerPort), "--grpc-port", "0"];
  const command = [process.execPath, PROGRAM, "start", "--data", join(dir, "store"), ...ports];
  const logPath = join(dir, "cometmq.out");
  const startedMs = performance.now();
  const child = startProcess([...prefix, ...command], logPath, dir);
  try {
    await waitUntil(child, logPath, () => /^ready/m.test(readFileSync(logPath, "utf8")));
  } catch (error) {
    await stopProcess(child);
    throw new Error(`CometMQ: ${/** @type {Error} */ (error).message}`);
  }
  return {
    broker: `${HOST}:${brokerPort}`,
    grpc: /\bgrpc=(\S+)/.exec(readFileSync(logPath, "utf8"))?.[1] ?? "",
    namesrv: `${HOST}:${namesrvPort}`,
    pid: child.pid,
    startMs: Math.round(performance.now() - startedMs),
    stop: () => stopProcess(child),
  };
}
