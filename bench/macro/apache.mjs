/**
 * Apache RocketMQ as released: name server and broker on loopback, with the settings it ships with (asynchronous flush)
 * and those of its own start script, but a heap of 2 GiB, and without AlwaysPreTouch, which would count the whole heap
 * as used memory. The jars are resolved with Maven once.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { RemotingClient } from "../../dist/remoting/client.js";
import { RequestCode, ResponseCode } from "../../dist/remoting/codes.js";
import { freePort, HOST, isPortOpen, startProcess, stopProcess, waitUntil } from "./server-process.mjs";

export const APACHE_VERSION = "5.4.0";
const MAVEN_TIMEOUT_MS = 600_000;
const ANSWER_MS = 5000;
const BROKER_NAME = "broker-a";
const ARTIFACTS = ["namesrv", "broker", "proxy", "tools", "controller"];

/**
 * @param {string} version
 * @returns {string} the folder with the jars
 */
export function resolveApache(version = APACHE_VERSION) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`not a version: ${version}`);
  const library = join(homedir(), ".cache", "apache-rocketmq", version);
  if (existsSync(join(library, `rocketmq-broker-${version}.jar`))) return library;
  mkdirSync(dirname(library), { recursive: true });
  const work = mkdtempSync(join(dirname(library), `.${version}-`));
  try {
    const dependencies = ARTIFACTS.map(
      (artifact) =>
        `<dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-${artifact}</artifactId>` +
        `<version>${version}</version></dependency>`,
    );
    const project =
      '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>' +
      "<groupId>local</groupId><artifactId>apache</artifactId><version>1</version>" +
      `<dependencies>${dependencies.join("")}</dependencies></project>\n`;
    writeFileSync(join(work, "pom.xml"), project);
    const jars = join(work, "jars");
    const goal = ["dependency:copy-dependencies", `-DoutputDirectory=${jars}`, "-DincludeScope=runtime"];
    execFileSync("mvn", ["-q", "-B", "-f", join(work, "pom.xml"), ...goal], {
      stdio: ["ignore", "inherit", "inherit"],
      timeout: MAVEN_TIMEOUT_MS,
    });
    if (!readdirSync(jars).includes(`rocketmq-broker-${version}.jar`)) throw new Error("Maven brought no broker");
    rmSync(library, { recursive: true, force: true });
    renameSync(jars, library);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return library;
}

/** @returns {string} the first line of `java -version` */
export function javaVersion() {
  const { stderr } = spawnSync("java", ["-version"], { encoding: "utf8" }); // it writes to stderr
  return stderr?.split("\n")[0] ?? "";
}

/**
 * @param {object} options
 * @param {string} options.dir everything it writes goes there
 * @param {string} options.version
 * @param {number} options.heapMB
 * @param {string[]} options.prefix of the broker's command line, such as taskset
 * @param {number} options.basePort
 * @param {Record<string, string | number | boolean>} [options.settings] further lines of broker.conf
 * @param {boolean} [options.proxy] with the gRPC proxy, in local mode: in the broker's process
 * @returns {Promise<import("./server-process.mjs").RunningServer>}
 */
export async function startApache({ dir, version, heapMB, prefix, basePort, settings = {}, proxy = false }) {
  const library = resolveApache(version);
  for (const folder of ["home/conf", "store", "log"]) mkdirSync(join(dir, folder), { recursive: true });
  const namesrvPort = await freePort(basePort, [0]);
  const brokerPort = await freePort(namesrvPort + 10, [-2, 0, 1]);
  const java = [
    "java",
    `-Duser.home=${dir}`,
    `-Drocketmq.home.dir=${join(dir, "home")}`,
    `-Drocketmq.log.dir=${join(dir, "log")}`,
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "-XX:+UseG1GC",
  ];
  const classPath = ["-cp", join(library, "*")];
  const startedMs = performance.now();

  const namesrvConf = join(dir, "namesrv.conf");
  writeFileSync(namesrvConf, `listenPort=${namesrvPort}\nbindAddress=${HOST}\n`);
  const namesrvLog = join(dir, "namesrv.out");
  const namesrvMain = ["org.apache.rocketmq.namesrv.NamesrvStartup", "-c", namesrvConf];
  const namesrv = startProcess([...java, "-Xms256m", "-Xmx512m", ...classPath, ...namesrvMain], namesrvLog, dir);
  try {
    await waitUntil(namesrv, namesrvLog, () => isPortOpen(namesrvPort));
    const brokerConf = join(dir, "broker.conf");
    writeFileSync(brokerConf, brokerSettings(dir, namesrvPort, brokerPort, settings));
    const brokerLog = join(dir, "broker.out");
    const grpcPort = proxy ? await freePort(brokerPort + 10, [0, 1]) : 0;
    const brokerMain = proxy
      ? proxyMain(dir, namesrvPort, brokerConf, grpcPort)
      : ["org.apache.rocketmq.broker.BrokerStartup", "-c", brokerConf];
    const command = [...prefix, ...java, ...brokerHeap(heapMB), ...classPath, ...brokerMain];
    let startMs = 0;
    const broker = startProcess(command, brokerLog, dir);
    try {
      await waitUntil(broker, brokerLog, () => isPortOpen(brokerPort));
      if (proxy) await waitUntil(broker, brokerLog, () => isPortOpen(grpcPort));
      startMs = Math.round(performance.now() - startedMs);
      // Its port is open before the name server has heard of it: seconds before, on a busy machine.
      await waitUntil(broker, brokerLog, () => isRegistered(namesrvPort));
    } catch (error) {
      await stopProcess(broker);
      throw error;
    }
    return {
      broker: `${HOST}:${brokerPort}`,
      grpc: `${HOST}:${grpcPort}`,
      namesrv: `${HOST}:${namesrvPort}`,
      pid: broker.pid,
      startMs,
      stop: async () => {
        await stopProcess(broker);
        await stopProcess(namesrv);
      },
    };
  } catch (error) {
    await stopProcess(namesrv);
    throw new Error(`Apache RocketMQ: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * Whether the name server sends clients to the broker.
 *
 * @param {number} namesrvPort
 */
async function isRegistered(namesrvPort) {
  const client = new RemotingClient(HOST, namesrvPort);
  try {
    const { code, body } = await client.call(RequestCode.GET_BROKER_CLUSTER_INFO, {}, undefined, ANSWER_MS);
    return code === ResponseCode.SUCCESS && body.includes(`"${BROKER_NAME}"`);
  } catch {
    return false;
  } finally {
    await client.close();
  }
}

/**
 * @param {string} dir
 * @param {number} namesrvPort
 * @param {string} brokerConf
 * @param {number} grpcPort
 */
function proxyMain(dir, namesrvPort, brokerConf, grpcPort) {
  const settings = {
    rocketMQClusterName: "DefaultCluster",
    namesrvAddr: `${HOST}:${namesrvPort}`,
    grpcServerPort: grpcPort,
    remotingListenPort: grpcPort + 1,
    localServeAddr: HOST,
    proxyMode: "LOCAL",
    tlsTestModeEnable: true,
  };
  const file = join(dir, "rmq-proxy.json");
  writeFileSync(file, JSON.stringify(settings));
  return ["org.apache.rocketmq.proxy.ProxyStartup", "-pm", "local", "-pc", file, "-bc", brokerConf];
}

/** @param {number} heapMB */
function brokerHeap(heapMB) {
  return [
    `-Xms${heapMB}m`,
    `-Xmx${heapMB}m`,
    `-Xmn${Math.floor(heapMB / 2)}m`,
    `-XX:MaxDirectMemorySize=${heapMB}m`,
    "-XX:G1HeapRegionSize=16m",
    "-XX:G1ReservePercent=25",
    "-XX:InitiatingHeapOccupancyPercent=30",
    "-XX:SoftRefLRUPolicyMSPerMB=0",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:-UseLargePages",
  ];
}

/**
 * @param {string} dir
 * @param {number} namesrvPort
 * @param {number} brokerPort
 * @param {Record<string, string | number | boolean>} more
 */
function brokerSettings(dir, namesrvPort, brokerPort, more) {
  const settings = {
    brokerClusterName: "DefaultCluster",
    brokerName: BROKER_NAME,
    brokerId: 0,
    brokerIP1: HOST,
    brokerIP2: HOST,
    bindAddress: HOST,
    namesrvAddr: `${HOST}:${namesrvPort}`,
    listenPort: brokerPort,
    haListenPort: brokerPort + 1,
    storePathRootDir: join(dir, "store"),
    // A machine whose disk is three quarters full must not make the broker delete its log during a run.
    diskMaxUsedSpaceRatio: 98,
    ...more,
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join("\n")}\n`;
}
