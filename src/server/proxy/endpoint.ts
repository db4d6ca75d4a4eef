/**
 * The gRPC endpoint in front of a broker of the same process: Apache's proxy in local mode. Each method makes requests of
 * what it is asked, and the broker's own processors answer them, so messages, retries and offsets are the same whichever
 * way a client came.
 */
import { proxyTrustOf } from "../auth/proxy-trust.js";
import type { FileSource } from "../broker/tls-config.js";
import { tlsServerOptions } from "../broker/tls-config.js";
import { Code } from "../../grpc/enums.js";
import type { Answer, GrpcCall, GrpcMethods, GrpcPeer } from "../../grpc/types.js";
import { GrpcListener, type GrpcListenerOptions } from "../../grpc/listener.js";
import type { GrpcServer } from "../../grpc/server.js";
import { LocalConnection, LocalPeering } from "../../remoting/local-connection.js";
import type { Processor } from "../../remoting/types.js";
import type { BrokerContext } from "../broker/context.js";
import { ackMessage } from "./ack-message.js";
import { checkCall } from "./call-access.js";
import { changeInvisibleDuration } from "./change-invisible.js";
import { ClientTable } from "./client-table.js";
import { endTransaction } from "./end-transaction.js";
import { forwardMessageToDeadLetterQueue } from "./forward-to-dlq.js";
import { heartbeat, notifyClientTermination } from "./heartbeat.js";
import { getOffset, queryOffset, updateOffset } from "./offsets.js";
import type { ProxyServices, ProxyPeer, RpcContext } from "./proxy.js";
import { statusOf, statusOfError } from "./proxy-error.js";
import { pullMessage } from "./pull-message.js";
import { queryAssignment, queryRoute } from "./query-route.js";
import { recallMessage } from "./recall-message.js";
import { ReceiptHandleTable } from "./receipt-handle-table.js";
import { receiveMessage } from "./receive-message.js";
import { RouteCache, type TopicRoute } from "./route-cache.js";
import { sendMessage } from "./send-message.js";
import { clientRequests, telemetry } from "./telemetry.js";
import { TransactionTable } from "./transaction-table.js";

const GRACE_MS = 2000;

export interface GrpcEndpointOptions {
  readonly broker: BrokerContext;
  readonly processors: ReadonlyMap<number, Processor>;
  /** Reads PEM files. */
  readonly files: FileSource;
  /** `grpcServerPort` without it. */
  readonly port?: number | undefined;
  /** What name servers tell of a topic; without it there are only this broker's. */
  readonly topicRoute?: TopicRoute | undefined;
}

/** Each takes the request of its own method. SyncLiteSubscription is unimplemented, as in Apache's 5.4. */
type Rpc = (proxy: ProxyServices, context: RpcContext, request: never) => Answer;

const UNARY: Readonly<Record<string, Rpc>> = {
  QueryRoute: queryRoute,
  QueryAssignment: queryAssignment,
  Heartbeat: heartbeat,
  NotifyClientTermination: notifyClientTermination,
  SendMessage: sendMessage,
  AckMessage: ackMessage,
  ChangeInvisibleDuration: changeInvisibleDuration,
  ForwardMessageToDeadLetterQueue: forwardMessageToDeadLetterQueue,
  EndTransaction: endTransaction,
  RecallMessage: recallMessage,
  UpdateOffset: updateOffset,
  GetOffset: getOffset,
  QueryOffset: queryOffset,
};

export class GrpcEndpoint {
  readonly #proxy: ProxyServices;
  /** Loaded for the first client: HTTP/2 and the codec take longer to load than all the rest of a broker to start. */
  #server: Promise<GrpcServer<ProxyPeer>> | undefined;
  #loaded: GrpcServer<ProxyPeer> | undefined;
  readonly #listener: GrpcListener;
  #closing: Promise<void> | undefined;

  private constructor(options: GrpcEndpointOptions) {
    const { broker, processors, files, port, topicRoute = async () => undefined } = options;
    const { config, clock, log } = broker;
    const peering = new LocalPeering(processors, clock, log);
    const proxy = (): ProxyServices => this.#proxy;
    const clients = new ClientTable({ peering, config, clock, log, requests: clientRequests(proxy) });
    const receipts = new ReceiptHandleTable(proxy);
    const transactions = new TransactionTable(config, clock);
    const own = { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 };
    const ownConnection = new LocalConnection(peering, own);
    const routes = new RouteCache(clock, topicRoute);
    this.#proxy = { broker, clock, log, peering, clients, receipts, transactions, routes, ownConnection };
    clients.onGone = (client) => receipts.release(client);
    clients.start();
    this.#listener = new GrpcListener({
      host: config.bindAddress,
      port: port ?? config.grpcServerPort,
      tls: tlsServerOptions(config, files),
      proxyTrust: proxyTrustOf(config),
      clock,
      log,
      onSocket: this.#accept,
    });
  }

  /** Rejects with COMETMQ_LISTEN, or with COMETMQ_CONFIG for a certificate that can not be used. */
  static async start(options: GrpcEndpointOptions): Promise<GrpcEndpoint> {
    const endpoint = new GrpcEndpoint(options);
    try {
      await endpoint.#listener.listen();
    } catch (error) {
      await endpoint.close();
      throw error;
    }
    return endpoint;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** What is held at the moment, for health and tests. */
  get counts() {
    const { clients, receipts, transactions } = this.#proxy;
    return {
      connections: this.#listener.connectionCount,
      clients: clients.size,
      receipts: receipts.size,
      transactions: transactions.size,
      halfReceivedBytes: this.#loaded?.halfReceivedBytes ?? 0,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#listener.quiesce();
    this.#proxy.clients.close();
    this.#proxy.receipts.close();
    const server = await this.#server?.catch(() => undefined);
    await server?.close(GRACE_MS);
    // Connections take calls until their clients know.
    this.#proxy.clients.close();
    this.#proxy.receipts.close();
    this.#proxy.ownConnection.close();
    this.#listener.close();
  }

  readonly #accept: GrpcListenerOptions["onSocket"] = (socket, client) => {
    this.#server ??= this.#loadServer();
    this.#server.then(
      (server) => {
        if (!socket.destroyed) server.accept(socket, client);
      },
      (err: unknown) => {
        // Without a free file handle, for one: the next client may find some.
        this.#server = undefined;
        this.#proxy.log.error({ err }, "gRPC can not be served");
        socket.destroy();
      },
    );
  };

  async #loadServer(): Promise<GrpcServer<ProxyPeer>> {
    const { GrpcServer } = await import("../../grpc/server.js");
    const { broker, clock, log, peering } = this.#proxy;
    this.#loaded = new GrpcServer({
      methods: this.#methods(),
      messageBytesMax: broker.config.grpcMaxInboundMessageSize,
      beforeSend: () => broker.store.publish(),
      clock,
      log,
      peerOf: (peer: GrpcPeer) => ({ ...peer, connection: new LocalConnection(peering, peer) }),
      onPeerGone: (peer) => peer.connection.close(),
    });
    return this.#loaded;
  }

  #methods(): GrpcMethods<ProxyPeer> {
    const proxy = (): ProxyServices => this.#proxy;
    const unary = Object.entries(UNARY).map(
      ([name, rpc]) =>
        [name, (call: GrpcCall<ProxyPeer>, request: object) => answer(proxy(), name, rpc, call, request)] as const,
    );
    return {
      unary: Object.fromEntries(unary),
      streaming: {
        ReceiveMessage: (call, request, write) =>
          stream(proxy(), "ReceiveMessage", receiveMessage, call, request, write),
        PullMessage: (call, request, write) => stream(proxy(), "PullMessage", pullMessage, call, request, write),
      },
      bidi: { Telemetry: (stream) => telemetry(proxy(), contextOf(stream.call), stream) },
    };
  }
}

function contextOf(call: GrpcCall<ProxyPeer>): RpcContext {
  return { call, peer: call.peer, clientId: call.header("x-mq-client-id").trim() };
}

type Write = (message: object) => boolean;
type StreamRpc = (
  proxy: ProxyServices,
  context: RpcContext,
  request: never,
  write: Write,
) => undefined | Promise<undefined>;

function stream(
  proxy: ProxyServices,
  name: string,
  rpc: StreamRpc,
  call: GrpcCall<ProxyPeer>,
  request: object,
  write: Write,
): undefined | Promise<undefined> {
  try {
    checkCall(proxy.broker.access, name, call, request);
  } catch (error) {
    write({ status: statusOfError(error, proxy.log) });
    return undefined;
  }
  return rpc(proxy, contextOf(call), request as never, write);
}

function answer(proxy: ProxyServices, name: string, rpc: Rpc, call: GrpcCall<ProxyPeer>, request: object): Answer {
  const context = contextOf(call);
  if (context.clientId === "") return { status: statusOf(Code.CLIENT_ID_REQUIRED, "client id cannot be empty") };
  const refused = (error: unknown) => ({ status: statusOfError(error, proxy.log) });
  try {
    checkCall(proxy.broker.access, name, call, request);
    const answered = rpc(proxy, context, request as never);
    return answered instanceof Promise ? answered.catch(refused) : answered;
  } catch (error) {
    return refused(error);
  }
}
