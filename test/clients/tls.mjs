/**
 * The cases of `--tls`: Apache's Java client over TLS against servers in each of Apache's modes, with certificates of both
 * ends that are made here, and a certificate that is changed while clients are at work.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { makeLoopbackCertificate } from "../../dist/remoting/tls-certificate.js";

/** Of the clients' usual cases, those that use every kind of connection: pushes, pulls, replies, locks, large bodies. */
const CASES = "send-sync|send-oneway|send-batch|compressed-body|push-two-share|orderly|sql92-filter|tx-commit|pop-.*";
const RELOAD_LIMIT_MS = 15_000;

export async function tlsRun({ scratch, classPath, startServer, startJava, verdicts, judge, report }) {
  const file = (name) => path.join(scratch, name);
  const certs = {};
  for (const name of ["server", "renewed", "client", "stranger"]) {
    certs[name] = makeLoopbackCertificate(Date.now());
    writeFileSync(file(`${name}.key`), certs[name].key);
    writeFileSync(file(`${name}.pem`), certs[name].cert);
  }
  writeFileSync(file("trusted.pem"), certs.server.cert + certs.renewed.cert);

  const enabled = "-Dtls.enable=true";
  const known = (client, trusted) => [
    enabled,
    ...["-Dtls.test.mode.enable=false", "-Dtls.client.authServer=true", `-Dtls.client.trustCertPath=${file(trusted)}`],
    ...(client === undefined
      ? []
      : [`-Dtls.client.keyPath=${file(`${client}.key`)}`, `-Dtls.client.certPath=${file(`${client}.pem`)}`]),
  ];
  const conf = (...lines) => [
    "brokerName=broker-a",
    `tls.server.keyPath=${file("server.key")}`,
    `tls.server.certPath=${file("server.pem")}`,
    ...lines,
  ];

  async function one(server, name, jvm, what) {
    const missing = new Set([`tls/${name}`]);
    const program = startJava(`tls-${name}`, server, classPath, [...jvm, "Tls", name, what], {}, verdicts(missing));
    await judge(`tls-${name}`, program, missing);
  }

  async function withServer(lines, use) {
    const server = await startServer(lines);
    if (server === undefined) return;
    await use(server);
    await server.stop();
  }

  async function reload(server) {
    const missing = new Set(["tls/live"]);
    let live;
    const working = new Promise((resolve) => {
      live = resolve;
    });
    const verdict = verdicts(missing);
    const jvm = known("client", "trusted.pem");
    const program = startJava("tls-live", server, classPath, [...jvm, "Tls", "live", "live"], {}, (line) => {
      if (line === "live") live();
      else verdict(line);
    });
    await Promise.race([working, program.ended]);
    writeFileSync(file("server.key"), certs.renewed.key);
    writeFileSync(file("server.pem"), certs.renewed.cert);
    for (const [name, address] of Object.entries({
      broker: server.broker,
      namesrv: server.namesrv,
      grpc: server.grpc,
    })) {
      const shown = await shownInTime(address, certs.client, certs.renewed.cert);
      report(shown ? "ok" : "FAIL", `tls/reload-${name}`, shown ? undefined : "the old certificate is still shown");
    }
    program.child.stdin.end("stop\n");
    await judge("tls-live", program, missing);
    await one(server, "after-reload", jvm, "in");
  }

  const mutual = ["tls.server.need.client.auth=require", "tls.server.authClient=true"];
  const mutualConf = conf("tls.server.mode=enforcing", `tls.server.trustCertPath=${file("client.pem")}`, ...mutual);
  await withServer(mutualConf, async (server) => {
    await one(server, "mutual", known("client", "server.pem"), "in");
    for (const main of ["Conformance", "Admin"]) {
      const only = main === "Admin" ? "clusterList|topicList|topicRoute|topicStatus" : CASES;
      const jvm = [...known("client", "server.pem"), main];
      const program = startJava(`tls-${main}`, server, classPath, jvm, { ONLY: only }, verdicts(new Set()));
      await judge(`tls-${main}`, program, new Set());
    }
    await one(server, "no-certificate", known(undefined, "server.pem"), "out");
    await one(server, "foreign-certificate", known("stranger", "server.pem"), "out");
    await one(server, "server-not-trusted", known("client", "stranger.pem"), "out");
    await one(server, "plain-to-enforcing", [], "out");
    await reload(server);
  });
  await withServer(["brokerName=broker-a"], async (server) => {
    await one(server, "test-mode", [enabled], "in");
    await one(server, "plain-to-permissive", [], "in");
  });
  await withServer(conf("tls.server.mode=disabled"), async (server) => {
    await one(server, "tls-to-disabled", [enabled], "out");
    await one(server, "plain-to-disabled", [], "in");
  });
}

async function shownInTime(address, { key, cert }, expected) {
  const deadline = Date.now() + RELOAD_LIMIT_MS;
  do {
    if ((await shownBy(address, key, cert)) === expected) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (Date.now() < deadline);
  return false;
}

/** The certificate that a new connection gets, in PEM. */
function shownBy(address, key, cert) {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const socket = tls.connect({
      host,
      port: Number(port),
      key,
      cert,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    });
    socket.on("error", () => resolve(undefined));
    socket.on("secureConnect", () => {
      resolve(socket.getPeerX509Certificate()?.toString());
      socket.destroy();
    });
  });
}
