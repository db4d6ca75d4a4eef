/** What every method of the endpoint works on. */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { GrpcCall, GrpcPeer } from "../../grpc/types.js";
import type { LocalConnection, LocalPeering } from "../../remoting/local-connection.js";
import type { BrokerContext } from "../broker/context.js";
import type { ClientTable } from "./client-table.js";
import type { ReceiptHandleTable } from "./receipt-handle-table.js";
import type { RouteCache } from "./route-cache.js";
import type { TransactionTable } from "./transaction-table.js";

export interface ProxyServices {
  readonly broker: BrokerContext;
  readonly clock: Clock;
  readonly log: Logger;
  readonly peering: LocalPeering;
  readonly clients: ClientTable;
  readonly receipts: ReceiptHandleTable;
  readonly transactions: TransactionTable;
  readonly routes: RouteCache;
  /** For what the endpoint does by itself. */
  readonly ownConnection: LocalConnection;
}

/** A client's connection, with the local one on which requests for it go to the broker. */
export interface ProxyPeer extends GrpcPeer {
  readonly connection: LocalConnection;
}

/** A call, with what its metadata says. */
export interface RpcContext {
  readonly call: GrpcCall<ProxyPeer>;
  readonly peer: ProxyPeer;
  readonly clientId: string;
}

/** How long the broker may take for a request that is not to wait. */
export const REQUEST_MS_MAX = 10_000;
