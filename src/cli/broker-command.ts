/** `cometmq broker`: a broker alone, registered with the name servers given. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { FileDisk } from "../io/file-disk.js";
import { Broker } from "../server/broker/broker.js";
import { hostPort } from "../server/broker/registration.js";
import type { GrpcEndpoint } from "../server/proxy/endpoint.js";
import { type BrokerFlags, brokerReading, parsePort, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printLine } from "./output.js";
import { closeOnSignals, processLogger, recoveryReporter, reportFailure } from "./run.js";

interface BrokerCommandFlags extends BrokerFlags {
  readonly grpcPort?: number;
}

export function addBrokerCommand(program: Command): void {
  program
    .command("broker")
    .description("run a broker alone, until SIGTERM or SIGINT")
    .option("-c, --config <file>", "a broker.conf with Apache's property names")
    .option("--namesrv <addresses>", "name servers to register with: host:port, several between semicolons")
    .option("--data <dir>", "the store's directory (storePathRootDir)")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--broker-port <port>", "port, 0 for a free one (default: 10911)", parsePort)
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .option("--grpc-port <port>", "port of a gRPC endpoint, 0 for a free one (default: there is none)", parsePort)
    .action((flags: BrokerCommandFlags) => run(flags));
}

async function run(flags: BrokerCommandFlags): Promise<void> {
  const reading = brokerReading(flags);
  const { config } = reading;
  if (config.namesrvAddr === "") {
    throw new CometError("COMETMQ_CONFIG", "A broker alone needs --namesrv host:port, or namesrvAddr in its file.");
  }
  const log = processLogger();
  let grpc: GrpcEndpoint | undefined;
  const starting = (async () => {
    const broker = await Broker.start({
      reading,
      log,
      onFailure: reportFailure,
      onRecoveryProgress: recoveryReporter(),
    });
    try {
      grpc = await startGrpc(broker, flags.grpcPort);
    } catch (error) {
      await broker.close();
      throw error;
    }
    return broker;
  })();
  closeOnSignals(async () => {
    const broker = await starting;
    await grpc?.close();
    await broker.close();
  });
  const broker = await starting;
  const at = (port: number) => hostPort(config.bindAddress, port);
  const grpcText = grpc === undefined ? "absent" : at(grpc.port);
  printLine(`ready namesrv=${config.namesrvAddr} broker=${at(broker.port)} grpc=${grpcText} http=absent`);
}

async function startGrpc(broker: Broker, port: number | undefined): Promise<GrpcEndpoint | undefined> {
  if (port === undefined) return undefined;
  const { context, processors } = broker;
  const topicRoute = (topic: string) => broker.topicRoute(topic);
  const { GrpcEndpoint } = await import("../server/proxy/endpoint.js");
  return GrpcEndpoint.start({ broker: context, processors, files: new FileDisk("file"), port, topicRoute });
}
