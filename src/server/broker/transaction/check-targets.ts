/**
 * Whom to ask about a transaction (broker/client/ProducerManager.java#getAvailableChannel): some living producer of the
 * group, each in its turn, but none that does not take what it was sent before.
 */
import type { Connection } from "../../../remoting/types.js";
import { entryOf } from "../entry-of.js";
import type { ProducerTable } from "../producer-table.js";

const UNSENT_BYTES_MAX = 1024 * 1024;

export class CheckTargets {
  readonly #producers: ProducerTable;
  /** As found in this turn of the event loop. */
  readonly #groups = new Map<string, Connection[]>();
  #turn = 0;

  constructor(producers: ProducerTable) {
    this.#producers = producers;
  }

  /** Looks at the table again: connections come and go between turns. */
  refresh(): void {
    this.#groups.clear();
  }

  /** Undefined when the group has no producer, "busy" when none of them takes anything at present. */
  pick(group: string): Connection | "busy" | undefined {
    const connections = entryOf(this.#groups, group, () => this.#connectionsOf(group));
    if (connections.length === 0) return undefined;
    this.#turn = (this.#turn + 1) & 0x7fffffff;
    for (let i = 0; i < connections.length; i++) {
      const connection = connections[(this.#turn + i) % connections.length]!;
      if (!connection.closed && (connection.unsentBytes ?? 0) < UNSENT_BYTES_MAX) return connection;
    }
    return "busy";
  }

  #connectionsOf(group: string): Connection[] {
    const connections: Connection[] = [];
    for (const { connection } of this.#producers.channelsOf(group)?.values() ?? []) {
      if (!connection.closed) connections.push(connection);
    }
    return connections;
  }
}
