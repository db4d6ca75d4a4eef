/**
 * Connections to brokers, one for each address. Whenever one is made, first of all a heartbeat goes over it: so a broker
 * that was started again knows this client before it gets its next request.
 */
import { RemotingClient } from "../remoting/client.js";
import type { Fields, Processor, RemoteAnswer } from "../remoting/types.js";
import { ClientClosedError, connectionError } from "./errors.js";
import { type ClientSettings, parseAddress } from "./options.js";
import { abortable, within } from "./waiting.js";

interface Entry {
  readonly client: RemotingClient;
  opening: Promise<void> | undefined;
}

export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export class BrokerConnections {
  readonly #settings: ClientSettings;
  readonly #processors: ReadonlyMap<number, Processor>;
  readonly #greet: (client: RemotingClient, address: string) => Promise<void>;
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(
    settings: ClientSettings,
    processors: ReadonlyMap<number, Processor>,
    greet: (client: RemotingClient, address: string) => Promise<void>,
  ) {
    this.#settings = settings;
    this.#processors = processors;
    this.#greet = greet;
  }

  /** The answer, whatever its code; connecting counts into the time. */
  async call(
    address: string,
    code: number,
    fields: Fields,
    body: Uint8Array | undefined,
    { timeoutMs, signal }: CallLimits,
  ): Promise<RemoteAnswer> {
    signal?.throwIfAborted();
    const { clock } = this.#settings;
    const begun = clock.monotonicMs();
    const client = await abortable(this.#ready(address, timeoutMs), signal);
    const leftMs = Math.max(1, Math.ceil(timeoutMs - (clock.monotonicMs() - begun)));
    const answer = client.call(code, fields, body, leftMs).catch((error: unknown) => {
      throw connectionError(address, error);
    });
    return abortable(answer, signal);
  }

  async oneway(address: string, code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number) {
    const client = await this.#ready(address, timeoutMs);
    await client.oneway(code, fields, body);
  }

  /** Addresses with a live connection. */
  connected(): string[] {
    return [...this.#entries].filter(([, { client }]) => client.connected).map(([address]) => address);
  }

  /** Ends connections to addresses that are in no route any more. */
  closeOthers(addresses: ReadonlySet<string>): void {
    for (const [address, { client }] of this.#entries) {
      if (addresses.has(address)) continue;
      this.#entries.delete(address);
      void client.close();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const clients = [...this.#entries.values()].map(({ client }) => client.close());
    this.#entries.clear();
    await Promise.all(clients);
  }

  async #ready(address: string, timeoutMs: number): Promise<RemotingClient> {
    if (this.#closed) throw new ClientClosedError("client");
    const entry = this.#entry(address);
    if (entry.opening === undefined) {
      if (entry.client.connected) return entry.client;
      entry.opening = this.#open(entry, address).finally(() => {
        entry.opening = undefined;
      });
    }
    await within(this.#settings.clock, timeoutMs, entry.opening, `No connection to ${address}`);
    return entry.client;
  }

  async #open({ client }: Entry, address: string): Promise<void> {
    try {
      await client.connect();
      await this.#greet(client, address);
    } catch (error) {
      throw this.#closed ? new ClientClosedError("client") : connectionError(address, error);
    }
  }

  #entry(address: string): Entry {
    let entry = this.#entries.get(address);
    if (entry === undefined) {
      const { host, port } = parseAddress(address);
      const { clock, log, tls, signer, connectTimeoutMs } = this.#settings;
      const processors = this.#processors;
      const options = { clock, log, tls, signer, processors, ...(connectTimeoutMs && { connectTimeoutMs }) };
      entry = { client: new RemotingClient(host, port, options), opening: undefined };
      this.#entries.set(address, entry);
    }
    return entry;
  }
}
