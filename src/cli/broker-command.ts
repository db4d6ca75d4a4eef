/** `cometmq broker`: a broker alone, registered with the name servers given. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { hostPort, parseAddresses } from "../server/broker/registration.js";
import { type BrokerFlags, brokerReading, parsePort, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printReady, READY_JSON_TEXT } from "./output.js";
import { closeOnSignals, failureReporter, processLogger, recoveryReporter, startStandalone } from "./run.js";

interface BrokerCommandFlags extends BrokerFlags {
  readonly grpcPort?: number;
  readonly json?: boolean;
}

export function addBrokerCommand(program: Command): void {
  program
    .command("broker")
    .description("run a broker alone, until SIGTERM or SIGINT")
    .option("-c, --config <file>", "a broker.conf with Apache's property names")
    .option("--namesrv <addresses>", "name servers to register with: host:port, several between semicolons")
    .option("--data <dir>", "the store's directory, storePathRootDir (default: ~/store)")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--broker-port <port>", "port, 0 for a free one (default: 10911)", parsePort)
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .option("--grpc-port <port>", "port of a gRPC endpoint, 0 for a free one (default: there is none)", parsePort)
    .option("--json", READY_JSON_TEXT)
    .action((flags: BrokerCommandFlags) => run(flags));
}

async function run(flags: BrokerCommandFlags): Promise<void> {
  const reading = brokerReading(flags);
  const { config } = reading;
  if (config.namesrvAddr === "") {
    throw new CometError("COMETMQ_CONFIG", "A broker alone needs --namesrv host:port, or namesrvAddr in its file.");
  }
  // A wrong address is told before a store is opened, or made.
  parseAddresses(config.namesrvAddr);
  // A start that fails has closed what it opened; `starting` below says why.
  const close = async () => (await starting.catch(() => undefined))?.close();
  const starting = startStandalone({
    dataDir: config.storePathRootDir,
    reading,
    namesrvPort: false,
    grpcPort: flags.grpcPort ?? false,
    log: processLogger(),
    onFailure: failureReporter(close),
    onRecoveryProgress: recoveryReporter(),
  });
  closeOnSignals(close);
  const { broker, grpcPort } = await starting;
  const at = (port: number | undefined) => (port === undefined ? "absent" : hostPort(config.bindAddress, port));
  const { namesrvAddr: namesrv } = config;
  printReady({ namesrv, broker: at(broker.port), grpc: at(grpcPort), http: "absent" }, flags.json);
}
