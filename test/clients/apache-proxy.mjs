/** Apache's gRPC proxy 5.4.0 in cluster mode, as released: routes from a name server, everything else from the brokers. */
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { buildJava } from "../java/build.mjs";

const POLL_MS = 200;

/** The arguments of `java`. The cluster is that of a broker with default settings. */
export async function proxyCommand(home, namesrv, grpcPort, remotingPort) {
  mkdirSync(path.join(home, "conf"), { recursive: true });
  const settings = {
    rocketMQClusterName: "DefaultCluster",
    namesrvAddr: namesrv,
    grpcServerPort: grpcPort,
    remotingListenPort: remotingPort,
    localServeAddr: "127.0.0.1",
    proxyMode: "CLUSTER",
    tlsTestModeEnable: true,
  };
  const file = path.join(home, "conf", "rmq-proxy.json");
  writeFileSync(file, JSON.stringify(settings));
  const exports = ["jdk.internal.ref", "sun.nio.ch"].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`);
  const homes = [`-Duser.home=${home}`, `-Drocketmq.home.dir=${home}`, `-Drocketmq.log.dir=${path.join(home, "log")}`];
  const main = ["-cp", await buildJava("proxy"), "org.apache.rocketmq.proxy.ProxyStartup"];
  return [...homes, ...exports, "-Xms256m", "-Xmx512m", ...main, "-pc", file, "-n", namesrv];
}

/** Undefined once the port is open; why not, after `limitMs`. */
export async function proxyListens(port, limitMs) {
  const endMs = performance.now() + limitMs;
  while (performance.now() < endMs) {
    const isOpen = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isOpen) return undefined;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return `its port is not open after ${limitMs} ms`;
}
