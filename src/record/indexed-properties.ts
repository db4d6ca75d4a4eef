/** The properties that dispatch wants of every record, found in one pass: for its queue entry and for the index. */
import { javaHashUtf8 } from "../base/java-hash.js";
import { PropertyScan } from "./properties.js";
import { PropertyName } from "./property-names.js";

/** Indexes into the scan. */
export const UNIQ_KEY = 0;
export const KEYS = 1;
export const TAGS = 2;

export class IndexedProperties extends PropertyScan {
  constructor() {
    super([PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, PropertyName.KEYS, PropertyName.TAGS]);
  }

  /** Java's hash of the tags in the bytes scanned; 0 without any. */
  tagsHash(bytes: Buffer): number {
    const start = this.starts[TAGS]!;
    return start < 0 ? 0 : javaHashUtf8(bytes, start, this.ends[TAGS]!);
  }
}
