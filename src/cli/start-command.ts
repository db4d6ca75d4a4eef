/** `cometmq start`: name server and broker in one process. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { hostPort } from "../server/broker/registration.js";
import { type BrokerFlags, brokerReading, parsePort, TLS_CONFIG_FLAG, TLS_CONFIG_TEXT } from "./options.js";
import { printReady, READY_JSON_TEXT } from "./output.js";
import { closeOnSignals, failureReporter, processLogger, recoveryReporter, startStandalone } from "./run.js";

const NAMESRV_PORT = 9876;

interface StartFlags extends BrokerFlags {
  readonly namesrvPort: number;
  readonly grpcPort?: number;
  readonly httpPort: number;
  readonly json?: boolean;
}

export function addStartCommand(program: Command): void {
  program
    .command("start")
    .description("run name server and broker in this process, until SIGTERM or SIGINT; so does cometmq alone")
    .option("-c, --config <file>", "a broker.conf with Apache's property names")
    .option("--data <dir>", "the store's directory, storePathRootDir (default: ~/store)")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--namesrv-port <port>", "port of the name server, 0 for a free one", parsePort, NAMESRV_PORT)
    .option("--broker-port <port>", "port of the broker, 0 for a free one (default: 10911)", parsePort)
    .option(TLS_CONFIG_FLAG, TLS_CONFIG_TEXT)
    .option(
      "--grpc-port <port>",
      "port of the gRPC endpoint, 0 for a free one (default: 8081, or a free one as the broker's)",
      parsePort,
    )
    .option("--http-port <port>", "port of the console, which is not there yet", parsePort, 8080)
    .option("--json", READY_JSON_TEXT)
    .action((flags: StartFlags) => start(flags));
}

async function start(flags: StartFlags): Promise<void> {
  if (flags.data === "") throw new CometError("COMETMQ_CONFIG", '--data is "", which is no path.');
  const reading = brokerReading(flags);
  const { namesrvPort, grpcPort } = flags;
  // A start that fails has closed what it opened; `starting` below says why.
  const close = async () => (await starting.catch(() => undefined))?.close();
  const starting = startStandalone({
    dataDir: reading.config.storePathRootDir,
    reading,
    namesrvPort,
    grpcPort,
    log: processLogger(),
    onFailure: failureReporter(close),
    onRecoveryProgress: recoveryReporter(),
  });
  closeOnSignals(close);
  const { broker, nameServer, grpcPort: grpc } = await starting;
  const at = (port: number | undefined) => (port === undefined ? "absent" : hostPort(reading.config.bindAddress, port));
  const addresses = { namesrv: at(nameServer!.port), broker: at(broker.port), grpc: at(grpc), http: "absent" };
  printReady(addresses, flags.json);
}
