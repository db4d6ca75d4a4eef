/**
 * Runs the client's suite against servers and says at the end how each did:
 *
 *   npm run test:client -- [--server cometmq|apache|both] [--secured] [-- vitest's own arguments]
 *
 * `both` is the default: CometMQ in the tests' own process, then Apache RocketMQ as released, on loopback, whose jars Maven
 * fetches once. `--secured` has both servers ask who their clients are. Without a JDK or Maven the half with Apache's is
 * skipped, and the last line says so.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { APACHE_VERSION, resolveApache, startApache } from "../../bench/macro/apache.mjs";
import { missingTool } from "../java/build.mjs";

const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const HEAP_MB = 1024;
const BASE_PORT = 21_000;
/** What of the suite brings servers of its own, and what belongs to it besides. */
const OWN = ["failures", "bad-input", "tls"].map((name) => `test/client/${name}.test.ts`);
const BESIDES = ["test/unit/client", "test/testing"];
const USER = { accessKey: "root", secretKey: "root-secret-1" };
const AUTH = "org.apache.rocketmq.auth";
const SECURED = {
  authenticationEnabled: true,
  authenticationProvider: `${AUTH}.authentication.provider.DefaultAuthenticationProvider`,
  authenticationMetadataProvider: `${AUTH}.authentication.provider.LocalAuthenticationMetadataProvider`,
  initAuthenticationUser: JSON.stringify({ username: USER.accessKey, password: USER.secretKey }),
  innerClientAuthenticationCredentials: JSON.stringify(USER),
  authorizationEnabled: true,
  authorizationProvider: `${AUTH}.authorization.provider.DefaultAuthorizationProvider`,
  authorizationMetadataProvider: `${AUTH}.authorization.provider.LocalAuthorizationMetadataProvider`,
};

const { values: options, positionals } = parseArgs({
  options: { server: { type: "string", default: "both" }, secured: { type: "boolean", default: false } },
  allowPositionals: true,
});
if (!["cometmq", "apache", "both"].includes(options.server)) {
  process.stderr.write(`--server ${options.server}: cometmq, apache or both\n`);
  process.exit(2);
}

const scratch = mkdtempSync(path.join(tmpdir(), "cometmq-client-suite-"));
const verdicts = [];
let failed = false;
try {
  if (options.server !== "apache") await onCometMQ();
  if (options.server !== "cometmq") await onApache();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.stdout.write(`client suite${options.secured ? ", secured" : ""}: ${verdicts.join(" · ")}\n`);
process.exit(failed ? 1 : 0);

async function onCometMQ() {
  const files = options.secured ? ["test/client"] : ["test/client", ...BESIDES];
  await suite("CometMQ", files, {});
}

async function onApache() {
  const name = `Apache RocketMQ ${APACHE_VERSION}`;
  const missing = missingTool() ?? missingJars();
  if (missing !== undefined) {
    verdicts.push(`${name} SKIPPED: ${missing}`);
    return;
  }
  const server = await startApache({
    dir: path.join(scratch, "apache"),
    version: APACHE_VERSION,
    heapMB: HEAP_MB,
    prefix: [],
    basePort: BASE_PORT,
    settings: {
      // On a busy machine it would refuse what waited for 200 ms, and that is not what is asked here.
      brokerFastFailureEnable: false,
      enablePropertyFilter: true,
      traceTopicEnable: true,
      transactionTimeOut: 1000,
      transactionCheckInterval: 5000,
      // Less than the interval of checks, or Apache asks, and delivers, again what has ended.
      transactionOpBatchInterval: 300,
      ...(options.secured ? SECURED : {}),
    },
  });
  try {
    await suite(name, ["test/client"], { COMETMQ_CLIENT_NAMESRV: server.namesrv });
  } finally {
    await server.stop();
  }
}

function missingJars() {
  try {
    resolveApache();
    return undefined;
  } catch (error) {
    return `Maven could not fetch its jars (${String(error.message).split("\n")[0]})`;
  }
}

/** Files that bring servers of their own are left out where one is given. */
async function suite(name, files, env) {
  process.stdout.write(`\n── ${name}\n`);
  const report = path.join(scratch, "report.json");
  const exclude = env.COMETMQ_CLIENT_NAMESRV === undefined ? [] : OWN.flatMap((file) => ["--exclude", file]);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const vitest = path.join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const secured = options.secured ? { COMETMQ_CLIENT_CREDENTIALS: JSON.stringify(USER) } : {};
  const child = spawn(process.execPath, [vitest, "run", ...files, ...exclude, ...reporters, ...positionals], {
    cwd: ROOT,
    env: { ...process.env, ...env, ...secured, COMETMQ_CLIENT_SUITE: "1" },
    stdio: "inherit",
  });
  const [status] = await once(child, "exit");
  failed ||= status !== 0;
  verdicts.push(`${name} ${existsSync(report) ? counts(JSON.parse(readFileSync(report, "utf8"))) : "did not run"}`);
  rmSync(report, { force: true });
}

function counts({ numPassedTests, numFailedTests, numPendingTests }) {
  const parts = [`${numPassedTests} passed`];
  if (numFailedTests > 0) parts.push(`${numFailedTests} FAILED`);
  if (numPendingTests > 0) parts.push(`${numPendingTests} skipped`);
  return parts.join(", ");
}
