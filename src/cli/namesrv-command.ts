/** `cometmq namesrv`: a name server alone. */
import { join } from "node:path";
import type { Command } from "commander";
import { FileDisk } from "../io/file-disk.js";
import { hostPort } from "../server/broker/registration.js";
import { NameServer } from "../server/namesrv/namesrv.js";
import { tlsServerOptions } from "../server/broker/tls-config.js";
import { parsePort, readTlsFile, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printLine } from "./output.js";
import { closeOnSignals, processLogger } from "./run.js";

interface NamesrvFlags {
  readonly host: string;
  readonly namesrvPort: number;
  readonly data?: string;
  readonly tlsConfig?: string;
}

export function addNamesrvCommand(program: Command): void {
  program
    .command("namesrv")
    .description("run a name server alone, until SIGTERM or SIGINT")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--namesrv-port <port>", "port, 0 for a free one", parsePort, 9876)
    .option("--data <dir>", "where key-value settings are kept; without it they last as long as the process")
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .action(async (flags: NamesrvFlags) => {
      const disk = new FileDisk("file");
      const kvConfigPath = flags.data === undefined ? undefined : join(flags.data, "kvConfig.json");
      if (flags.data !== undefined) disk.makeDirectory(flags.data);
      const server = await NameServer.start({
        host: flags.host,
        port: flags.namesrvPort,
        ...(flags.tlsConfig === undefined ? {} : { tls: tlsServerOptions(readTlsFile(flags.tlsConfig).config, disk) }),
        logger: processLogger(),
        ...(kvConfigPath === undefined ? {} : { disk, kvConfigPath }),
      });
      closeOnSignals(() => server.close());
      printLine(`ready namesrv=${hostPort(flags.host, server.port)}`);
    });
}
