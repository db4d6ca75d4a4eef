/**
 * How the queues of a topic are shared among the consumers of a group (client/consumer/rebalance). Every consumer comes
 * to the same result by itself, those in other languages included: so it is Apache's, queue by queue.
 */
import { createHash } from "node:crypto";
import { configError } from "./errors.js";
import type { MessageQueue } from "./message-queue.js";

/** The queues of `clientId`. Queues and clients come sorted; `clientIds` holds `clientId`. */
export interface AllocateStrategy {
  /** As consumers of other languages call it: all of a group use the same one. */
  readonly name: string;
  /** The queues of `clientId`, of sorted lists. Every client of the group computes the same. */
  allocate(clientId: string, queues: readonly MessageQueue[], clientIds: readonly string[]): readonly MessageQueue[];
}

/** Neighbouring queues, as many for each consumer as can be. */
export const allocateAveragely: AllocateStrategy = {
  name: "AVG",
  allocate(clientId, queues, clientIds) {
    const index = clientIds.indexOf(clientId);
    const rest = queues.length % clientIds.length;
    const least = Math.floor(queues.length / clientIds.length);
    const start = index * least + Math.min(index, rest);
    return queues.slice(start, start + least + (index < rest ? 1 : 0));
  },
};

/** Queues dealt out like cards. */
export const allocateAveragelyByCircle: AllocateStrategy = {
  name: "AVG_BY_CIRCLE",
  allocate(clientId, queues, clientIds) {
    const index = clientIds.indexOf(clientId);
    return queues.filter((_, i) => i % clientIds.length === index);
  },
};

/** Few queues change hands when consumers come and go. `virtualNodes` places on the ring for each consumer (10). */
export function allocateByConsistentHash(virtualNodes = 10): AllocateStrategy {
  if (!Number.isInteger(virtualNodes) || virtualNodes < 1) throw configError(`virtualNodes is ${virtualNodes}.`);
  return {
    name: "CONSISTENT_HASH",
    allocate(clientId, queues, clientIds) {
      const ring = clientIds
        .flatMap((id) => Array.from({ length: virtualNodes }, (_, i) => ({ id, hash: ringHash(`${id}-${i}`) })))
        .sort((a, b) => a.hash - b.hash);
      const ownerOf = (queue: MessageQueue) => {
        const { topic, brokerName, queueId } = queue;
        const hash = ringHash(`MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`);
        return (ring.find((node) => node.hash >= hash) ?? ring[0]!).id;
      };
      return queues.filter((queue) => ownerOf(queue) === clientId);
    },
  };
}

/** Queues of brokers named `room@broker` in the given rooms, shared averagely; the rest of them one by one. */
export function allocateByMachineRoom(rooms: readonly string[]): AllocateStrategy {
  return {
    name: "MACHINE_ROOM",
    allocate(clientId, queues, clientIds) {
      const inRooms = queues.filter(({ brokerName }) => {
        const parts = brokerName.split("@");
        return parts.length === 2 && rooms.includes(parts[0]!);
      });
      const index = clientIds.indexOf(clientId);
      const share = Math.floor(inRooms.length / clientIds.length);
      const rest = inRooms.length % clientIds.length;
      const own = inRooms.slice(index * share, (index + 1) * share);
      return rest > index ? [...own, inRooms[index + share * clientIds.length]!] : own;
    },
  };
}

/** The first four bytes of the MD5. */
function ringHash(text: string): number {
  return createHash("md5").update(text).digest().readUInt32BE(0);
}
