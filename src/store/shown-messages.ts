/** Messages that somebody waits for can be read before dispatch has come to them: see `QueueUnits`. */
import { tagsHash } from "../record/properties.js";
import type { DispatchWaits } from "./dispatch-waits.js";
import type { QueueUnits } from "./queue-units.js";
import type { StoreQueue } from "./store-queue.js";
import type { MessageInput, PutResult } from "./types.js";

/** Put in one turn and shown at once: of more than these dispatch shows all together, so that they are read together. */
const SHOWN_A_TURN = 8;

export class ShownMessages {
  readonly #units: QueueUnits;
  readonly #waits: DispatchWaits;
  readonly #publish: () => boolean;
  /** Queues of the messages that this turn put and showed. */
  readonly #shown: StoreQueue[] = [];

  /** `publish` has what was put written, and is false when that failed. */
  constructor(units: QueueUnits, waits: DispatchWaits, publish: () => boolean) {
    this.#units = units;
    this.#waits = waits;
    this.#publish = publish;
  }

  /** True if this message, which was just put, can be read from now on, whenever dispatch comes to it. */
  show(queue: StoreQueue, message: MessageInput, { queueOffset, phyOffset, sizeBytes }: PutResult): boolean {
    if (!this.#waits.isInterested || queue.quiet || queue.scheduled) return false;
    if (this.#shown.length > SHOWN_A_TURN || !this.#publish()) return false;
    const { properties, propertiesStart, propertiesLength } = message;
    const hash = tagsHash(properties, propertiesStart, propertiesStart + propertiesLength);
    if (!this.#units.show(queue, queueOffset, phyOffset, sizeBytes, hash)) return false;
    this.#shown.push(queue);
    return true;
  }

  /** At the end of a turn: has `grown` called for each queue. False when there were too many: that is left to dispatch. */
  tell(grown: (queue: StoreQueue) => void): boolean {
    const shown = this.#shown;
    if (shown.length === 0) return true;
    const isFew = shown.length <= SHOWN_A_TURN;
    if (isFew) for (const queue of shown) grown(queue);
    shown.length = 0;
    return isFew;
  }
}
