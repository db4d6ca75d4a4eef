/** The name servers: one is asked, the next when it does not answer (client/impl/MQClientAPIImpl's view of them). */
import { CometError } from "../base/errors.js";
import { RemotingClient } from "../remoting/client.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import type { Fields, RemoteAnswer } from "../remoting/types.js";
import { ClientClosedError, connectionError, expectSuccessFrom, NoNameServerError } from "./errors.js";
import { type CallOptions, type ClientSettings, parseAddress } from "./options.js";
import { readTopicRoute, type TopicRoute } from "./topic-route.js";
import { abortable, within } from "./waiting.js";

export class NameServers {
  readonly #settings: ClientSettings;
  readonly #clients = new Map<string, RemotingClient>();
  /** The one that answered last. */
  #current = 0;
  #closed = false;

  constructor(settings: ClientSettings) {
    this.#settings = settings;
    // A fleet of clients does not begin with the same server.
    this.#current = process.pid % settings.namesrvAddrs.length;
  }

  get addresses(): readonly string[] {
    return this.#settings.namesrvAddrs;
  }

  /** The answer of the first server that gives one. Rejects with the last one's error when none does. */
  async call(code: number, fields: Fields, options: CallOptions = {}): Promise<RemoteAnswer> {
    const { namesrvAddrs, requestTimeoutMs } = this.#settings;
    const count = namesrvAddrs.length;
    // Others who ask meanwhile may move it: every server is still asked once.
    const first = this.#current;
    const timeoutMs = options.timeoutMs ?? requestTimeoutMs;
    let failure: unknown;
    for (let i = 0; i < count; i++) {
      const index = (first + i) % count;
      // One that hangs must not have the time of those after it: a send that needs a route has no more than one wait.
      const share = i === count - 1 ? timeoutMs : Math.ceil(timeoutMs / count);
      try {
        const answer = await this.callAt(namesrvAddrs[index]!, code, fields, { ...options, timeoutMs: share });
        this.#current = index;
        return answer;
      } catch (error) {
        options.signal?.throwIfAborted();
        // Files of TLS, say: no other server would make it better.
        if (error instanceof CometError && error.code === "COMETMQ_CONFIG") throw error;
        failure = error;
      }
    }
    throw failure;
  }

  callAt(address: string, code: number, fields: Fields, options: CallOptions = {}): Promise<RemoteAnswer> {
    if (this.#closed) return Promise.reject(new ClientClosedError("client"));
    const { signal, timeoutMs = this.#settings.requestTimeoutMs } = options;
    const answer = this.#answer(address, code, fields, timeoutMs).catch((error: unknown) => {
      throw connectionError(address, error);
    });
    return abortable(answer, signal);
  }

  async #answer(address: string, code: number, fields: Fields, timeoutMs: number): Promise<RemoteAnswer> {
    const client = this.#client(address);
    if (!client.connected)
      await within(this.#settings.clock, timeoutMs, client.connect(), `No connection to ${address}`);
    return client.call(code, fields, undefined, timeoutMs);
  }

  /** Undefined when the topic has none. */
  async route(topic: string, options: CallOptions = {}): Promise<TopicRoute | undefined> {
    let answer: RemoteAnswer;
    try {
      answer = await this.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic, acceptStandardJsonOnly: true }, options);
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (this.#closed) throw new ClientClosedError("client");
      if (cause instanceof CometError && cause.code === "COMETMQ_CONFIG") throw cause;
      throw new NoNameServerError(this.addresses, cause);
    }
    if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return undefined;
    return readTopicRoute(expectSuccessFrom(this.addresses[this.#current]!, answer).body);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  #client(address: string): RemotingClient {
    let client = this.#clients.get(address);
    if (client === undefined) {
      const { host, port } = parseAddress(address);
      const { clock, log, tls, signer, connectTimeoutMs } = this.#settings;
      client = new RemotingClient(host, port, {
        clock,
        log,
        tls,
        signer,
        ...(connectTimeoutMs && { connectTimeoutMs }),
      });
      this.#clients.set(address, client);
    }
    return client;
  }
}
