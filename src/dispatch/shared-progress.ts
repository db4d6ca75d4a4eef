/**
 * What the appending thread and the dispatch thread tell each other: positions and flags in one SharedArrayBuffer. Each
 * word has one writer, but where both are named. Positions are monotonic (base/shared-position).
 *
 *   word  what                                                            written by
 *    0..2 confirmed: dispatch may read the log up to here                 appender
 *    3..5 dispatched: queues hold everything below                        dispatcher
 *    6    wake: grows by one when there may be work                       appender
 *    7    parked: 1 while the dispatcher sleeps on `wake`                  dispatcher
 *    8    interest: 1 while the appender wants to hear of arrivals         appender
 *    9    told: 1 from a message to the appender until it is read          both, by exchange
 *   10..12 wanted end of the segment files                                 appender
 *   13..15 ready end of the segment files                                  dispatcher
 *   16    ready sequence: grows after each attempt to make a segment       dispatcher
 *   17    segment failure: 0 none, 1 disk full, 2 anything else            dispatcher sets, appender clears
 *   18    state (see State)                                                dispatcher
 *   19    stop asked: 1                                                    appender
 *   20    ring head: count of arrivals put                                 dispatcher
 *   21    ring tail: count of arrivals taken                               appender
 *   22    ring overflow: 1 when arrivals were dropped: look at every queue dispatcher sets, appender clears
 *   23..25 first offset of the log                                        appender
 *   26..28 indexed: the index files hold everything below               dispatcher
 *   29..31 wanted place of the index: written out, and told, once passed  appender
 *   32    turns: changes with each round of the loop and each queue written   dispatcher
 *   33..  ring of queue slots
 */
import { loadPosition, SHARED_POSITION_WORDS, storePosition } from "../base/shared-position.js";

const CONFIRMED = 0;
const DISPATCHED = 3;
const WAKE = 6;
const PARKED = 7;
const INTEREST = 8;
const TOLD = 9;
const WANTED_END = 10;
const READY_END = 13;
const READY_SEQUENCE = 16;
const SEGMENT_FAILURE = 17;
const STATE = 18;
const STOP = 19;
const RING_HEAD = 20;
const RING_TAIL = 21;
const RING_OVERFLOW = 22;
const FIRST_OFFSET = 23;
const INDEXED = 26;
const INDEX_WANTED = 29;
const TURNS = 32;
const RING = 33;
const RING_SLOTS = 4096;
const RING_MASK = RING_SLOTS - 1;

export const NO_MORE_TURNS = -1;
export const State = { STARTING: 0, RUNNING: 1, STOPPED: 2, FAILED: 3 } as const;
export const SegmentFailure = { NONE: 0, DISK_FULL: 1, OTHER: 2 } as const;

export class SharedProgress {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer((RING + RING_SLOTS) * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  get confirmed(): number {
    return loadPosition(this.#words, CONFIRMED);
  }
  set confirmed(phyOffset: number) {
    storePosition(this.#words, CONFIRMED, phyOffset);
  }
  get dispatched(): number {
    return loadPosition(this.#words, DISPATCHED);
  }
  set dispatched(phyOffset: number) {
    storePosition(this.#words, DISPATCHED, phyOffset);
  }
  get indexed(): number {
    return loadPosition(this.#words, INDEXED);
  }
  set indexed(phyOffset: number) {
    storePosition(this.#words, INDEXED, phyOffset);
  }
  get indexWanted(): number {
    return loadPosition(this.#words, INDEX_WANTED);
  }
  set indexWanted(phyOffset: number) {
    storePosition(this.#words, INDEX_WANTED, phyOffset);
  }
  get wantedEnd(): number {
    return loadPosition(this.#words, WANTED_END);
  }
  set wantedEnd(phyOffset: number) {
    storePosition(this.#words, WANTED_END, phyOffset);
  }
  get readyEnd(): number {
    return loadPosition(this.#words, READY_END);
  }
  set readyEnd(phyOffset: number) {
    storePosition(this.#words, READY_END, phyOffset);
  }
  get firstOffset(): number {
    return loadPosition(this.#words, FIRST_OFFSET);
  }
  set firstOffset(phyOffset: number) {
    storePosition(this.#words, FIRST_OFFSET, phyOffset);
  }
  get state(): number {
    return Atomics.load(this.#words, STATE);
  }
  set state(state: number) {
    Atomics.store(this.#words, STATE, state);
  }
  get stopAsked(): boolean {
    return Atomics.load(this.#words, STOP) === 1;
  }
  get turns(): number {
    return Atomics.load(this.#words, TURNS);
  }
  get segmentFailure(): number {
    return Atomics.load(this.#words, SEGMENT_FAILURE);
  }

  // Appender's side.

  /** Wakes the dispatcher if it sleeps. */
  wake(): void {
    Atomics.add(this.#words, WAKE, 1);
    if (Atomics.load(this.#words, PARKED) === 1) Atomics.notify(this.#words, WAKE);
  }

  /**
   * Spins until what lies before `phyOffset` is dispatched: the dispatcher, on another core, is some tens of microseconds
   * behind. False when it took too long.
   */
  awaitDispatched(phyOffset: number, timeoutMs: number): boolean {
    const deadline = performance.now() + timeoutMs;
    while (this.dispatched < phyOffset) if (performance.now() >= deadline) return false;
    return true;
  }

  askStop(): void {
    Atomics.store(this.#words, STOP, 1);
    this.wake();
  }

  setInterest(interested: boolean): void {
    Atomics.store(this.#words, INTEREST, interested ? 1 : 0);
  }

  /** The dispatcher's message was read: the next arrival sends another. */
  heard(): void {
    Atomics.store(this.#words, TOLD, 0);
  }

  /** The slot of a queue that has grown, -1 when there is none, -2 when some were dropped: look at every queue. */
  takeArrival(): number {
    if (Atomics.exchange(this.#words, RING_OVERFLOW, 0) === 1) {
      Atomics.store(this.#words, RING_TAIL, Atomics.load(this.#words, RING_HEAD));
      return -2;
    }
    const tail = this.#words[RING_TAIL]!;
    if (tail === Atomics.load(this.#words, RING_HEAD)) return -1;
    const slot = this.#words[RING + (tail & RING_MASK)]!;
    Atomics.store(this.#words, RING_TAIL, (tail + 1) | 0);
    return slot;
  }

  /** Waits until segment files reach `endOffset` or an attempt failed, at most `timeoutMs`. */
  waitForSegment(endOffset: number, timeoutMs: number): boolean {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const sequence = Atomics.load(this.#words, READY_SEQUENCE);
      if (this.readyEnd >= endOffset) return true;
      const left = deadline - performance.now();
      if (left <= 0 || this.segmentFailure !== SegmentFailure.NONE || this.state >= State.STOPPED) return false;
      Atomics.wait(this.#words, READY_SEQUENCE, sequence, left);
    }
  }

  /** A fresh attempt may be made after a failure. */
  clearSegmentFailure(): void {
    Atomics.store(this.#words, SEGMENT_FAILURE, SegmentFailure.NONE);
  }

  // Dispatcher's side.

  /** Something was done: the thread does not spin. */
  turnEnded(): void {
    Atomics.add(this.#words, TURNS, 1);
  }

  /** What is left to do is done in one go, however long it takes. */
  lastTurnEnded(): void {
    Atomics.store(this.#words, TURNS, NO_MORE_TURNS);
  }

  get wakeSequence(): number {
    return Atomics.load(this.#words, WAKE);
  }

  /** Sleeps until `wake` passes `sequence`, at most `timeoutMs`. */
  park(sequence: number, timeoutMs: number): void {
    Atomics.store(this.#words, PARKED, 1);
    Atomics.wait(this.#words, WAKE, sequence, timeoutMs);
    Atomics.store(this.#words, PARKED, 0);
  }

  segmentMade(readyEnd: number, failure: number): void {
    this.readyEnd = readyEnd;
    Atomics.store(this.#words, SEGMENT_FAILURE, failure);
    Atomics.add(this.#words, READY_SEQUENCE, 1);
    Atomics.notify(this.#words, READY_SEQUENCE);
  }

  putArrival(slot: number): void {
    const head = this.#words[RING_HEAD]!;
    if (((head - Atomics.load(this.#words, RING_TAIL)) | 0) >= RING_SLOTS) {
      Atomics.store(this.#words, RING_OVERFLOW, 1);
      return;
    }
    this.#words[RING + (head & RING_MASK)] = slot;
    Atomics.store(this.#words, RING_HEAD, (head + 1) | 0);
  }

  /** The appender wants to hear of arrivals. */
  get isAwaited(): boolean {
    return Atomics.load(this.#words, INTEREST) === 1;
  }

  /** True when the appender listens and has no unread message: then one is due. */
  mustTell(): boolean {
    return this.isAwaited && Atomics.exchange(this.#words, TOLD, 1) === 0;
  }
}

/** Queues of one chunk of the progress table. */
const CHUNK_SLOTS = 4096;

/**
 * Max offset of every queue, by slot, in chunks that both threads hold: written by the dispatcher, read by anybody. An
 * entry of a queue is complete before its max offset passes it.
 */
export class QueueProgress {
  readonly #chunks: Int32Array[] = [];

  /** Makes room for `slot`; returns a new chunk's buffer when one was needed, to be handed to the other thread. */
  reserve(slot: number): SharedArrayBuffer | undefined {
    if (slot < this.#chunks.length * CHUNK_SLOTS) return undefined;
    const buffer = new SharedArrayBuffer(CHUNK_SLOTS * SHARED_POSITION_WORDS * 4);
    this.adopt(buffer);
    return buffer;
  }

  adopt(buffer: SharedArrayBuffer): void {
    this.#chunks.push(new Int32Array(buffer));
  }

  get buffers(): SharedArrayBuffer[] {
    return this.#chunks.map((chunk) => chunk.buffer as SharedArrayBuffer);
  }

  maxOffset(slot: number): number {
    return loadPosition(this.#chunks[Math.floor(slot / CHUNK_SLOTS)]!, (slot % CHUNK_SLOTS) * SHARED_POSITION_WORDS);
  }

  setMaxOffset(slot: number, queueOffset: number): void {
    storePosition(
      this.#chunks[Math.floor(slot / CHUNK_SLOTS)]!,
      (slot % CHUNK_SLOTS) * SHARED_POSITION_WORDS,
      queueOffset,
    );
  }
}
