/**
 * The store host of records: the address at which this broker can be reached, for it becomes part of the message id. A
 * client is given the address it came by, unless one is configured (brokerIP1).
 */
import { encodeHost } from "../../record/host.js";
import type { Connection } from "../../remoting/types.js";

export class StoreHosts {
  readonly #port: () => number;
  readonly #fixedHost: string;
  readonly #byHost = new Map<string, Buffer>();
  /** Of the last one that asked: most brokers are reached at one address. */
  #lastHost = "";
  #last: Buffer = Buffer.alloc(0);

  /** `port` is asked when the broker listens; `fixedHost` is empty for the address each client came by. */
  constructor(port: () => number, fixedHost: string) {
    this.#port = port;
    this.#fixedHost = fixedHost;
  }

  of(connection: Connection): Buffer {
    const host = this.#fixedHost === "" ? connection.localHost : this.#fixedHost;
    if (host !== this.#lastHost) {
      this.#last = this.#byHost.get(host) ?? this.#add(host);
      this.#lastHost = host;
    }
    return this.#last;
  }

  /** Of what the broker stores by itself. */
  ofLocal(): Buffer {
    const host = this.#fixedHost === "" ? "127.0.0.1" : this.#fixedHost;
    return this.#byHost.get(host) ?? this.#add(host);
  }

  #add(host: string): Buffer {
    const bytes = encodeHost(host, this.#port()) ?? encodeHost("127.0.0.1", this.#port())!;
    this.#byHost.set(host, bytes);
    return bytes;
  }
}
