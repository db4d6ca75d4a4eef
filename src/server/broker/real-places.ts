/**
 * Where a message belongs that waits for its time or for the end of its transaction, as its properties say it: the bytes
 * of REAL_TOPIC and REAL_QID, made once for the queues that come most.
 */
import { PropertyName } from "../../record/property-names.js";

const PLACES_KEPT = 64;

interface Place {
  readonly topic: string;
  readonly queueId: number;
  readonly bytes: Buffer;
}

export class RealPlaces {
  readonly #kept = new Array<Place | undefined>(PLACES_KEPT).fill(undefined);

  /** Both properties, each with its separator behind it. */
  of(topic: string, queueId: number): Buffer {
    const index = (queueId + topic.length * 8) & (PLACES_KEPT - 1);
    const kept = this.#kept[index];
    if (kept !== undefined && kept.queueId === queueId && kept.topic === topic) return kept.bytes;
    const { REAL_TOPIC, REAL_QUEUE_ID } = PropertyName;
    const bytes = Buffer.from(`${REAL_TOPIC}\u0001${topic}\u0002${REAL_QUEUE_ID}\u0001${queueId}\u0002`, "utf8");
    this.#kept[index] = { topic, queueId, bytes };
    return bytes;
  }
}
