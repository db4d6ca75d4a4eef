/** `cometmq namesrv`: a name server alone. */
import { join } from "node:path";
import type { Command } from "commander";
import type { Logger } from "../base/log.js";
import { FileDisk } from "../io/file-disk.js";
import { isLoopback } from "../remoting/tls-options.js";
import { isAccessControlled, whitelist } from "../server/auth/access-options.js";
import { openAccess } from "../server/auth/open-access.js";
import { proxyTrustOf } from "../server/auth/proxy-trust.js";
import type { ConfigReading } from "../server/broker/broker-config.js";
import { hostPort } from "../server/broker/registration.js";
import { NameServer } from "../server/namesrv/namesrv.js";
import { tlsServerOptions } from "../server/broker/tls-config.js";
import { namesrvReading, parsePort, readTlsFile, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printReady, READY_JSON_TEXT } from "./output.js";
import { closeOnSignals, processLogger } from "./run.js";

interface NamesrvFlags {
  readonly config?: string;
  readonly host: string;
  readonly namesrvPort: number;
  readonly data?: string;
  readonly tlsConfig?: string;
  readonly json?: boolean;
}

export function addNamesrvCommand(program: Command): void {
  program
    .command("namesrv")
    .description("run a name server alone, until SIGTERM or SIGINT")
    .option("-c, --config <file>", "who may do what, with the names of a broker.conf: authenticationEnabled, …")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--namesrv-port <port>", "port, 0 for a free one", parsePort, 9876)
    .option("--data <dir>", "where key-value settings are kept; without it they last as long as the process")
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .option("--json", READY_JSON_TEXT)
    .action(async (flags: NamesrvFlags) => {
      const disk = new FileDisk("file");
      const kvConfigPath = flags.data === undefined ? undefined : join(flags.data, "kvConfig.json");
      if (flags.data !== undefined) disk.makeDirectory(flags.data);
      const log = processLogger();
      const reading = namesrvReading(flags.config, flags.data);
      warnIfOpen(flags.host, reading, log);
      const access = openAccess({ reading, disk, log });
      await access?.save();
      const server = await NameServer.start({
        access,
        openCodes: whitelist(reading.config.namesrvAuthenticationWhitelist),
        host: flags.host,
        port: flags.namesrvPort,
        ...(flags.tlsConfig === undefined ? {} : { tls: tlsServerOptions(readTlsFile(flags.tlsConfig).config, disk) }),
        proxyTrust: proxyTrustOf(reading.config),
        log,
        ...(kvConfigPath === undefined ? {} : { disk, kvConfigPath }),
      });
      closeOnSignals(async () => {
        await server.close();
        await access?.close();
      });
      printReady({ namesrv: hostPort(flags.host, server.port) }, flags.json);
    });
}

function warnIfOpen(host: string, { config }: ConfigReading, log: Logger): void {
  if (isLoopback(host) || isAccessControlled(config)) return;
  const text = "others than this machine can reach the name server, and access control is off: see --config";
  log.warn({ host }, text);
}
