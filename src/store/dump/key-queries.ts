/** The look-ups by key that a dump makes: those that the messages of the store can be found by, each once. */
import type { IndexKind } from "../../index/index-key.js";
import { PropertyName } from "../../record/property-names.js";

export interface IndexedKey {
  readonly topic: string;
  readonly kind: IndexKind;
  readonly key: string;
}

export class KeyQueries {
  readonly #byTopic = new Map<string, Record<IndexKind, Set<string>>>();

  /** Under what a message of `topic` with these properties is indexed. */
  add(topic: string, properties: ReadonlyMap<string, string>): void {
    let keys = this.#byTopic.get(topic);
    if (keys === undefined) {
      keys = { K: new Set(), T: new Set(), U: new Set() };
      this.#byTopic.set(topic, keys);
    }
    const uniqueKey = properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX);
    if (uniqueKey !== undefined) keys.U.add(uniqueKey);
    for (const key of properties.get(PropertyName.KEYS)?.split(" ") ?? []) if (key !== "") keys.K.add(key);
    const tags = properties.get(PropertyName.TAGS);
    if (tags !== undefined) keys.T.add(tags);
  }

  /** Ordered by topic, kind and key. */
  *sorted(): Generator<IndexedKey> {
    for (const topic of [...this.#byTopic.keys()].sort()) {
      const keys = this.#byTopic.get(topic)!;
      for (const kind of ["K", "T", "U"] as const) for (const key of [...keys[kind]].sort()) yield { topic, kind, key };
    }
  }
}
