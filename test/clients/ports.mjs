/** Ports of this machine that nobody listens on, or did not a moment ago. */
import net from "node:net";

export async function freePort() {
  const probe = await listen(0);
  const { port } = probe.address();
  probe.close();
  return port;
}

/** A broker that is told its port listens on the one 2 below as well. */
export async function freeBrokerPort() {
  for (;;) {
    const upper = await listen(0);
    const { port } = upper.address();
    const lower = await listen(port - 2).catch(() => undefined);
    upper.close();
    lower?.close();
    if (lower !== undefined) return port;
  }
}

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
