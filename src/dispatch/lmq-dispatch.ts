/**
 * Light message queues: a record may name further queues that get an entry for it, and the offset it has in each, in the
 * properties INNER_MULTI_DISPATCH and INNER_MULTI_QUEUE_OFFSET, with commas (store/queue/MultiDispatchUtils,
 * store/ConsumeQueue#multiDispatchLmqQueue). Their names begin with `%LMQ%`, and their queue id is 0.
 */
import { PropertyScan } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import type { RecordView } from "../record/record-view.js";
import { SCHEDULE_TOPIC } from "../record/tags-code.js";

export const LMQ_QUEUE_ID = 0;

const LMQ_PREFIX = "%LMQ%";
/** Records of such topics are not dispatched any further. */
const EXCEPTED_PREFIXES = ["%RETRY%", "rmq_sys_"];
const NAMES = 0;
const OFFSETS = 1;
const NONE: readonly LmqEntry[] = [];

export interface LmqEntry {
  readonly name: string;
  readonly queueOffset: number;
}

export class LmqDispatch {
  readonly #properties = new PropertyScan([PropertyName.INNER_MULTI_DISPATCH, PropertyName.INNER_MULTI_QUEUE_OFFSET]);

  /** The entries that the record gets besides the one in its own queue. */
  entriesOf(record: RecordView, bytes: Buffer): readonly LmqEntry[] {
    const { propertiesStart, propertiesLength, topicStart, topicLength } = record;
    this.#properties.scan(bytes, propertiesStart, propertiesStart + propertiesLength);
    const names = this.#properties.text(bytes, NAMES)?.split(",");
    const offsets = this.#properties.text(bytes, OFFSETS)?.split(",");
    if (names === undefined || offsets === undefined || names.length !== offsets.length) return NONE;
    const topic = bytes.toString("utf8", topicStart, topicStart + topicLength);
    if (topic === SCHEDULE_TOPIC || EXCEPTED_PREFIXES.some((prefix) => topic.startsWith(prefix))) return NONE;
    const entries: LmqEntry[] = [];
    for (const [i, name] of names.entries()) {
      const offset = offsets[i]!;
      if (name.startsWith(LMQ_PREFIX) && /^\d{1,15}$/.test(offset)) entries.push({ name, queueOffset: Number(offset) });
    }
    return entries;
  }
}
