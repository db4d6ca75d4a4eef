/**
 * Which clients produce for which group (broker/client/ProducerManager.java): known from heartbeats, needed to ask a
 * producer about a transaction, to push a reply to a client, and to be shown.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { Connection } from "../../remoting/types.js";
import type { BrokerConfig } from "./broker-options.js";
import type { ClientChannel, ClientIdentity } from "./client-channel.js";
import { entryOf } from "./entry-of.js";

/** Apache's ProducerManager does not make this one configurable. */
const EXPIRED_MS = 120_000;
const GROUPS_PER_CONNECTION_MAX = 1024;

export class ProducerTable {
  /** Group to connection id. No inner map is empty. */
  readonly #groups = new Map<string, Map<number, ClientChannel>>();
  readonly #groupsOfConnection = new Map<number, Set<string>>();
  readonly #connections = new Map<string, Connection>();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** A group was one too many, and the log said so. */
  #full = false;
  #turn = 0;

  constructor(config: BrokerConfig, clock: Clock, log: Logger) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
  }

  register(group: string, client: ClientIdentity): void {
    const { connection, clientId } = client;
    if (connection.closed) return;
    const known = this.#groups.get(group)?.get(connection.id);
    if (known !== undefined) {
      known.lastUpdateTimestamp = this.#clock.nowMs();
      known.lastSeenMs = this.#clock.monotonicMs();
      return;
    }
    if (!this.#config.enableRegisterProducer && this.#config.rejectTransactionMessage) return;
    const groups = this.#watch(connection);
    if (groups.size >= GROUPS_PER_CONNECTION_MAX) {
      const fields = { client: connection.remoteAddress, clientId, group };
      if (!this.#full) this.#log.warn(fields, "too many producer groups on one connection; said once");
      this.#full = true;
      return;
    }
    groups.add(group);
    const channels = entryOf(this.#groups, group, () => new Map<number, ClientChannel>());
    const times = { lastUpdateTimestamp: this.#clock.nowMs(), lastSeenMs: this.#clock.monotonicMs() };
    channels.set(connection.id, { ...client, ...times });
    this.#connections.set(clientId, connection);
    this.#log.info({ group, clientId, client: connection.remoteAddress }, "new producer");
  }

  unregister(group: string, connection: Connection): void {
    const channels = this.#groups.get(group);
    const channel = channels?.get(connection.id);
    if (channels === undefined || channel === undefined) return;
    channels.delete(connection.id);
    if (channels.size === 0) this.#groups.delete(group);
    const groups = this.#groupsOfConnection.get(connection.id);
    groups?.delete(group);
    this.#forgetClient(channel, groups);
    this.#log.info({ group, clientId: channel.clientId, client: connection.remoteAddress }, "producer gone");
  }

  /** Closes connections that have sent no heartbeat for 120 s. */
  scan(): void {
    const deadlineMs = this.#clock.monotonicMs() - EXPIRED_MS;
    for (const [group, channels] of this.#groups) {
      for (const { connection, lastSeenMs } of channels.values()) {
        if (lastSeenMs >= deadlineMs) continue;
        this.#log.warn({ group, client: connection.remoteAddress }, "a producer is silent, closing its connection");
        this.unregister(group, connection);
        connection.close();
      }
    }
  }

  groups(): IterableIterator<[string, ReadonlyMap<number, ClientChannel>]> {
    return this.#groups.entries();
  }

  channelsOf(group: string): ReadonlyMap<number, ClientChannel> | undefined {
    return this.#groups.get(group);
  }

  /** The connection of a client, whatever its group. */
  findConnection(clientId: string): Connection | undefined {
    return this.#connections.get(clientId);
  }

  /** Some connection of the group, each in its turn. */
  availableConnection(group: string): Connection | undefined {
    const open = [...(this.#groups.get(group)?.values() ?? [])].filter(({ connection }) => !connection.closed);
    return open.length === 0 ? undefined : open[this.#turn++ % open.length]!.connection;
  }

  #watch(connection: Connection): Set<string> {
    let groups = this.#groupsOfConnection.get(connection.id);
    if (groups === undefined) {
      groups = new Set();
      this.#groupsOfConnection.set(connection.id, groups);
      connection.onClose(() => this.#drop(connection));
    }
    return groups;
  }

  #drop(connection: Connection): void {
    for (const group of [...(this.#groupsOfConnection.get(connection.id) ?? [])]) this.unregister(group, connection);
    this.#groupsOfConnection.delete(connection.id);
  }

  /** Unless it is in another of the connection's groups by the same name. */
  #forgetClient({ clientId, connection }: ClientChannel, groups: ReadonlySet<string> = new Set()): void {
    if (this.#connections.get(clientId) !== connection) return;
    for (const group of groups) if (this.#groups.get(group)?.get(connection.id)?.clientId === clientId) return;
    this.#connections.delete(clientId);
  }
}
