/**
 * Callers that wait for a place in the log to be reached: by the disk, or by dispatch. Whoever is served by the same step
 * of progress may share a promise, so that many callers at a time cost little more than one.
 */
import type { CometError } from "../base/errors.js";

interface Group {
  readonly from: number;
  position: number;
  readonly reached: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: CometError) => void;
}

export class PositionWaiters {
  /** In order of positions. */
  #groups: Group[] = [];
  /** The last group, as long as it takes others in. */
  #open: Group | undefined;

  /** Resolves when `position` is reached. */
  wait(position: number): Promise<void> {
    return this.#add(position).reached;
  }

  /** The same, together with all who came since the step under way began, which will reach `startedTo`. */
  waitWithOthers(position: number, startedTo: number): Promise<void> {
    if (position <= startedTo) return this.wait(position);
    let open = this.#open;
    if (open === undefined || open.from <= startedTo || position < open.from) {
      open = this.#add(position);
      if (open === this.#groups.at(-1)) this.#open = open;
    } else if (position > open.position) open.position = position;
    return open.reached;
  }

  #add(position: number): Group {
    let resolve: () => void = () => {};
    let reject: (error: CometError) => void = () => {};
    const reached = new Promise<void>((onReached, onFailed) => {
      resolve = onReached;
      reject = onFailed;
    });
    const group = { from: position, position, reached, resolve, reject };
    const groups = this.#groups;
    let at = groups.length;
    while (at > 0 && groups[at - 1]!.position > position) at--;
    if (at === groups.length) this.#open = undefined;
    groups.splice(at, 0, group);
    return group;
  }

  /** `position` is reached. */
  settle(position: number): void {
    const groups = this.#groups;
    let count = 0;
    while (count < groups.length && groups[count]!.position <= position) {
      if (groups[count] === this.#open) this.#open = undefined;
      groups[count++]!.resolve();
    }
    if (count > 0) this.#groups = groups.slice(count);
  }

  /** No place will be reached any more. */
  fail(error: CometError): void {
    this.#open = undefined;
    for (const group of this.#groups.splice(0)) group.reject(error);
  }
}
