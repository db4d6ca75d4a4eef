/** `cometmq start`: name server and broker in one process. */
import { join } from "node:path";
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { FileDisk } from "../io/file-disk.js";
import { whitelist } from "../server/auth/access-options.js";
import { openAccess } from "../server/auth/open-access.js";
import { Broker } from "../server/broker/broker.js";
import { hostPort } from "../server/broker/registration.js";
import { tlsServerOptions } from "../server/broker/tls-config.js";
import { addressOfConnection, NameServer } from "../server/namesrv/namesrv.js";
import type { GrpcEndpoint } from "../server/proxy/endpoint.js";
import { type BrokerFlags, brokerReading, parsePort, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printLine } from "./output.js";
import { closeOnSignals, processLogger, recoveryReporter, reportFailure } from "./run.js";

const NAMESRV_PORT = 9876;

interface StartFlags extends BrokerFlags {
  readonly namesrvPort: number;
  readonly grpcPort?: number;
  readonly httpPort: number;
}

export function addStartCommand(program: Command): void {
  program
    .command("start", { isDefault: true })
    .description("run name server and broker in this process, until SIGTERM or SIGINT")
    .option("-c, --config <file>", "a broker.conf with Apache's property names")
    .option("--data <dir>", "the store's directory (storePathRootDir)")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--namesrv-port <port>", "port of the name server, 0 for a free one", parsePort, NAMESRV_PORT)
    .option("--broker-port <port>", "port of the broker, 0 for a free one (default: 10911)", parsePort)
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .option("--grpc-port <port>", "port of the gRPC endpoint, 0 for a free one (default: 8081)", parsePort)
    .option("--http-port <port>", "port of the console, which is not there yet", parsePort, 8080)
    .action((flags: StartFlags) => start(flags));
}

async function start(flags: StartFlags): Promise<void> {
  const reading = brokerReading(flags);
  const { config } = reading;
  const log = processLogger();
  let broker: Broker | undefined;
  let nameServer: NameServer | undefined;
  let grpc: GrpcEndpoint | undefined;
  const close = async (): Promise<void> => {
    await grpc?.close();
    await broker?.close();
    await nameServer?.close();
  };
  const starting = (async () => {
    const disk = new FileDisk("file");
    const access = openAccess({ reading, disk, log });
    nameServer = await NameServer.start({
      access,
      openCodes: whitelist(config.namesrvAuthenticationWhitelist),
      host: config.bindAddress,
      port: flags.namesrvPort,
      tls: tlsServerOptions(config, disk),
      logger: log,
      disk,
      kvConfigPath: join(config.storePathRootDir, "config", "kvConfig.json"),
      addressFor: (brokerName, connection) =>
        broker !== undefined && brokerName === config.brokerName && config.brokerIP1 === ""
          ? addressOfConnection(broker.port)(brokerName, connection)
          : undefined,
    });
    broker = await Broker.start({
      reading,
      access,
      log,
      routeTable: nameServer.routeTable,
      onFailure: reportFailure,
      onRecoveryProgress: recoveryReporter(),
    });
    const { context, processors } = broker;
    const topicRoute = (topic: string) => broker!.topicRoute(topic);
    const { GrpcEndpoint } = await import("../server/proxy/endpoint.js");
    const grpcOptions = { broker: context, processors, files: disk, port: flags.grpcPort, topicRoute };
    grpc = await GrpcEndpoint.start(grpcOptions).catch((error: unknown) => {
      // Who did not ask for the port may have another use for it, a second broker say.
      const isTaken = error instanceof CometError && error.code === "COMETMQ_LISTEN";
      if (flags.grpcPort !== undefined || !isTaken) throw error;
      log.warn({ err: error }, "no gRPC endpoint: its port is taken, --grpc-port chooses another");
      return undefined;
    });
  })();
  closeOnSignals(async () => {
    await starting.catch(() => {});
    await close();
  });
  try {
    await starting;
  } catch (error) {
    await close();
    throw error;
  }
  const at = (port: number | undefined) => (port === undefined ? "absent" : hostPort(config.bindAddress, port));
  printLine(`ready namesrv=${at(nameServer!.port)} broker=${at(broker!.port)} grpc=${at(grpc?.port)} http=absent`);
}
