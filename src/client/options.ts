/** What producers, consumers and the admin have in common: where the servers are, and what belongs to the process. */
import type { Clock } from "../base/clock.js";
import { systemClock } from "../base/clock.js";
import { type Logger, silentLogger } from "../base/log.js";
import { shown } from "../base/given-values.js";
import type { OptionNames } from "../base/option-names.js";
import { readFile } from "../io/read-file.js";
import { type Credentials, type RequestSigner, requestSigner } from "../remoting/request-signer.js";
import { TLS_CLIENT_OPTIONS, type TlsClientOptions } from "../remoting/tls-options.js";
import { checkNames, checkSignal, checkTools, positive, textIfGiven } from "./arguments.js";
import { configError } from "./errors.js";
import { withNamespace } from "./namespace.js";

/** What every client has. Times are milliseconds. */
export interface ClientOptions {
  /** Name servers: `host:port`, several in a list or between semicolons. */
  readonly namesrvAddr: string | readonly string[];
  /** Unique among the clients of a group; made of address, process and a counter by default. */
  readonly clientId?: string;
  /** How often routes are asked for again (30 s). */
  readonly pollNameServerIntervalMs?: number;
  /** How often brokers hear of this client (30 s). */
  readonly heartbeatBrokerIntervalMs?: number;
  /** Time for an answer where a call has no limit of its own (3 s). */
  readonly requestTimeoutMs?: number;
  /** For a connection and its TLS handshake; as long as the call that needs it by default. */
  readonly connectTimeoutMs?: number;
  /** Speaks TLS to name servers and brokers. As with Apache's clients any certificate will do without `authServer`. */
  readonly tls?: TlsClientOptions;
  /** Who this client is to servers with access control; a function is asked before each request, for keys that change. */
  readonly credentials?: Credentials | (() => Credentials);
  /**
   * Topics and groups are those of this namespace: `orders` is `shop%orders` to the brokers. Messages come with the names
   * that the application uses; queues carry whole names.
   */
  readonly namespace?: string;
  /** Says nothing by default. */
  readonly log?: Logger;
  /** In place of the system's, for tests. */
  readonly clock?: Clock;
}

/** Of `ClientOptions`, for the lists of what every client takes besides. */
export const CLIENT_OPTIONS: OptionNames<ClientOptions> = {
  namesrvAddr: true,
  clientId: true,
  pollNameServerIntervalMs: true,
  heartbeatBrokerIntervalMs: true,
  requestTimeoutMs: true,
  connectTimeoutMs: true,
  tls: true,
  credentials: true,
  namespace: true,
  log: true,
  clock: true,
};

export const START_OPTIONS: OptionNames<StartOptions> = { signal: true };

/** Throws COMETMQ_CONFIG for an option of `where` that nobody would look at, and for one of its start's second argument. */
export function checkStart<Options>(
  where: string,
  options: Options,
  known: OptionNames<Options>,
  startOptions: StartOptions,
): void {
  checkNames(where, options, known);
  checkNames(`The second argument of ${where}`, startOptions, START_OPTIONS);
  checkSignal(startOptions.signal);
}

/** Of a single call. */
export interface CallOptions {
  /** Ends the wait, with the signal's reason; a request that is on its way is not taken back. */
  readonly signal?: AbortSignal | undefined;
  /** For each answer of a server. */
  readonly timeoutMs?: number | undefined;
}

export const CALL_OPTIONS: OptionNames<CallOptions> = { signal: true, timeoutMs: true };

/** Of a client's start, and of what changes it while it runs. */
export interface StartOptions {
  /** Gives up, with the signal's reason; a client that was starting is closed. */
  readonly signal?: AbortSignal | undefined;
}

/** The same with everything filled in but what has no default. */
export interface ClientSettings {
  readonly namesrvAddrs: readonly string[];
  readonly clientId: string | undefined;
  readonly pollNameServerIntervalMs: number;
  readonly heartbeatBrokerIntervalMs: number;
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number | undefined;
  readonly tls: TlsClientOptions | undefined;
  readonly signer: RequestSigner | undefined;
  readonly namespace: string | undefined;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Of URLs, and of lists that were meant to have semicolons. */
const NOT_IN_HOSTS = /[\s/?#@,]/;

/** Throws COMETMQ_CONFIG for what is no `host:port`. IPv6 addresses stand in brackets or without. */
export function parseAddress(text: string): HostAndPort {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || host === "" || NOT_IN_HOSTS.test(host) || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw configError(`"${text}" is not host:port.`);
  }
  return { host, port };
}

export function settingsOf(options: ClientOptions): ClientSettings {
  const { namesrvAddr } = options;
  if (namesrvAddr === undefined) throw configError("namesrvAddr is missing.");
  const listed = typeof namesrvAddr === "string" ? namesrvAddr.split(";") : namesrvAddr;
  const isText = (address: unknown): boolean => typeof address === "string";
  if (!Array.isArray(listed) || !listed.every(isText))
    throw configError("namesrvAddr is neither text nor a list of texts.");
  const namesrvAddrs = [...new Set(listed.map((address) => address.trim()).filter((address) => address !== ""))];
  if (namesrvAddrs.length === 0) throw configError("namesrvAddr names no server.");
  for (const address of namesrvAddrs) parseAddress(address);
  if (options.tls !== undefined) checkNames("tls", options.tls, TLS_CLIENT_OPTIONS);
  checkTools(options);
  return {
    namesrvAddrs,
    clientId: textIfGiven("clientId", options.clientId),
    pollNameServerIntervalMs: positive("pollNameServerIntervalMs", options.pollNameServerIntervalMs, 30_000),
    heartbeatBrokerIntervalMs: positive("heartbeatBrokerIntervalMs", options.heartbeatBrokerIntervalMs, 30_000),
    requestTimeoutMs: positive("requestTimeoutMs", options.requestTimeoutMs, 3_000),
    connectTimeoutMs: options.connectTimeoutMs && positive("connectTimeoutMs", options.connectTimeoutMs, 1),
    tls: options.tls && { readFile, ...options.tls },
    signer: signerOf(options.credentials),
    namespace: options.namespace === undefined ? undefined : checkNamespace(options.namespace),
    log: options.log ?? silentLogger,
    clock: options.clock ?? systemClock,
  };
}

function signerOf(credentials: ClientOptions["credentials"]): RequestSigner | undefined {
  if (credentials === undefined) return undefined;
  if (typeof credentials !== "function") return requestSigner(checkCredentials(credentials));
  let current: Credentials | undefined;
  let signer: RequestSigner;
  return (fields, body) => {
    const given = credentials();
    if (given !== current) {
      signer = requestSigner(checkCredentials(given));
      current = given;
    }
    return signer(fields, body);
  };
}

function checkCredentials(credentials: Credentials): Credentials {
  for (const name of ["accessKey", "secretKey"] as const) {
    const value: unknown = credentials?.[name];
    if (typeof value !== "string" || value === "") throw configError(`credentials.${name} is missing.`);
  }
  return credentials;
}

const NAME = /^[%|a-zA-Z0-9_-]+$/;
const NAMESPACE = /^[|a-zA-Z0-9_-]+$/;
const GROUP_CHARS_MAX = 120;
const TOPIC_CHARS_MAX = 127;
/** Topics of a group: `%RETRY%group`, `%DLQ%group`. */
const GROUP_TOPIC = /^%(RETRY|DLQ)%/;
const GROUP_TOPIC_CHARS_MAX = 255;

interface Namespaced {
  readonly namespace?: string | undefined;
}

/** A group's name as Apache's Validators take it, with its namespace. */
export function checkGroup(group: string, { namespace }: Namespaced): string {
  const whole = typeof group === "string" ? withNamespace(namespace, group) : "";
  if (group === "" || !NAME.test(whole) || whole.length > GROUP_CHARS_MAX) {
    throw configError(`${shown(group)} is no group: letters, digits, %, |, _ and -, at most ${GROUP_CHARS_MAX}.`);
  }
  return whole;
}

/** A topic's name with its namespace. */
export function checkTopic(topic: string, { namespace }: Namespaced): string {
  const whole = typeof topic === "string" ? withNamespace(namespace, topic) : "";
  const charsMax = GROUP_TOPIC.test(whole) ? GROUP_TOPIC_CHARS_MAX : TOPIC_CHARS_MAX;
  if (topic === "" || !NAME.test(whole) || whole.length > charsMax) {
    throw configError(`${shown(topic)} is no topic: letters, digits, %, |, _ and -, at most ${charsMax}.`);
  }
  return whole;
}

function checkNamespace(namespace: string): string {
  if (typeof namespace === "string" && NAMESPACE.test(namespace)) return namespace;
  throw configError(`${shown(namespace)} is no namespace: letters, digits, |, _ and -.`);
}
