/**
 * The sending side of a wire benchmark: connections with a window of requests each. As fast as it goes, an answer is
 * followed by the next request. At a fixed rate every message has a time when it is due, and its latency counts from
 * there, however late it could be written: what waits behind a stall carries the whole wait.
 */
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { ResponseCode, responseCodeName } from "../../remoting/codes.js";
import type { HeaderView } from "../../remoting/header-view.js";
import { Latencies } from "./latencies.js";
import { LoadConnection, type LoadConnectionOptions } from "./load-connection.js";
import { NumberSet } from "./number-set.js";
import { monotonicUs } from "./pace-task.js";
import { SendTemplates, type SendOptions } from "./send-template.js";

/** So many refusals without a message taken between them end the run: a closed loop would only go on with them. */
const REFUSALS_IN_A_ROW_MAX = 2000;
const REFUSAL_KINDS_MAX = 8;

export interface LaneOptions extends SendOptions, Omit<LoadConnectionOptions, "slots" | "onAnswer"> {
  readonly inFlight: number;
  /** Of the lane's broker. */
  readonly queueIds: readonly number[];
}

/** One connection and what is in flight on it. */
class SendLane {
  readonly connection: LoadConnection;
  readonly #templates: SendTemplates;
  readonly #queueIds: readonly number[];
  readonly #load: SendLoad;
  readonly #numbers: Uint32Array;
  readonly #dueUs: Float64Array;
  readonly #writtenUs: Float64Array;
  #turn: number;

  constructor(load: SendLoad, options: LaneOptions, firstTurn: number) {
    this.#load = load;
    this.#templates = new SendTemplates(options);
    this.#queueIds = options.queueIds;
    this.#turn = firstTurn;
    this.#numbers = new Uint32Array(options.inFlight);
    this.#dueUs = new Float64Array(options.inFlight);
    this.#writtenUs = new Float64Array(options.inFlight);
    this.connection = new LoadConnection({
      ...options,
      slots: options.inFlight,
      onAnswer: (slot, header) => this.#onAnswer(slot, header),
    });
  }

  write(number: number, dueUs: number, nowUs: number, nowMs: number): void {
    const { connection } = this;
    const slot = connection.take();
    this.#numbers[slot] = number;
    this.#dueUs[slot] = dueUs;
    this.#writtenUs[slot] = nowUs;
    const queueId = this.#queueIds[this.#turn++ % this.#queueIds.length]!;
    this.#templates.write(connection.link, connection.opaqueOf(slot), queueId, number, dueUs, nowMs);
  }

  /** Gives requests up that were written before `limitUs`; returns how many. */
  giveUp(limitUs: number): number {
    let count = 0;
    for (let slot = 0; slot < this.#writtenUs.length; slot++) {
      if (!this.connection.isInFlight(slot) || this.#writtenUs[slot]! > limitUs) continue;
      this.connection.release(slot);
      count++;
    }
    return count;
  }

  #onAnswer(slot: number, header: HeaderView): void {
    this.connection.release(slot);
    this.#load.answered(this, header, this.#numbers[slot]!, this.#dueUs[slot]!);
  }
}

export class SendLoad {
  readonly acknowledged = new NumberSet();
  readonly latencies = new Latencies();
  /** How late messages were written, at a fixed rate. */
  readonly lateness = new Latencies();
  readonly refusals = new Map<string, number>();
  sentCount = 0;
  refusedCount = 0;
  /** Of them, those before the measured window. */
  refusedInWarmup = 0;
  unansweredCount = 0;
  /** Messages due from here on are measured. */
  measureFromUs = Number.POSITIVE_INFINITY;
  /** Numbers below this are sent. */
  numberEnd = Number.POSITIVE_INFINITY;
  #lanes: SendLane[] = [];
  #isSending = false;
  #refusedInARow = 0;
  /** 0 for as fast as it goes. */
  #intervalUs = 0;
  #startUs = 0;
  #nextLane = 0;

  async open(lanes: readonly LaneOptions[]): Promise<void> {
    this.#lanes = lanes.map((options, i) => new SendLane(this, options, Math.floor(i * (options.queueIds.length / 7))));
    await Promise.all(this.#lanes.map(({ connection }) => connection.open()));
  }

  /** Begins; `rate` in messages a second, with it `beat` is to be called whenever something may be due. */
  start(startUs: number, rate: number | undefined): void {
    this.#isSending = true;
    this.#startUs = startUs;
    this.#intervalUs = rate === undefined ? 0 : 1e6 / rate;
    if (rate === undefined) for (const lane of this.#lanes) this.#fill(lane);
  }

  stop(): void {
    this.#isSending = false;
  }

  get inFlightCount(): number {
    return this.sentCount - this.acknowledged.size - this.refusedCount - this.unansweredCount;
  }

  /** When the message of this number is due. */
  dueUs(number: number): number {
    return this.#startUs + number * this.#intervalUs;
  }

  readonly beat = (): void => {
    if (!this.#isSending || this.#intervalUs === 0) return;
    const nowUs = monotonicUs();
    const nowMs = systemClock.nowMs();
    while (this.sentCount < this.numberEnd) {
      const dueUs = this.dueUs(this.sentCount);
      if (dueUs > nowUs) return;
      const lane = this.#freeLane();
      if (lane === undefined) return;
      if (dueUs >= this.measureFromUs) this.lateness.record(nowUs - dueUs);
      lane.write(this.sentCount++, dueUs, nowUs, nowMs);
      lane.connection.link.flush();
    }
  };

  /** Messages that are due and not sent; each has waited at least so long. */
  countUnsent(nowUs: number): number {
    if (this.#intervalUs === 0) return 0;
    const first = this.sentCount;
    for (let number = first; number < this.numberEnd; number++) {
      const waitedUs = nowUs - this.dueUs(number);
      if (waitedUs <= 0) return number - first;
      if (this.dueUs(number) >= this.measureFromUs) this.latencies.record(waitedUs);
    }
    return Math.max(0, this.numberEnd - first);
  }

  giveUp(limitUs: number): void {
    for (const lane of this.#lanes) this.unansweredCount += lane.giveUp(limitUs);
  }

  async close(): Promise<void> {
    this.#isSending = false;
    await Promise.all(this.#lanes.map(({ connection }) => connection.close()));
  }

  answered(lane: SendLane, header: HeaderView, number: number, dueUs: number): void {
    const nowUs = monotonicUs();
    if (isStored(header.code)) {
      this.#refusedInARow = 0;
      this.acknowledged.add(number);
      if (dueUs >= this.measureFromUs) this.latencies.record(nowUs - dueUs);
    } else {
      this.#refused(lane, header, dueUs);
    }
    if (!this.#isSending) return;
    if (this.#intervalUs === 0) this.#fill(lane, nowUs);
    else if (this.dueUs(this.sentCount) <= nowUs) this.beat();
  }

  #refused(lane: SendLane, { code, remark }: HeaderView, dueUs: number): void {
    this.refusedCount++;
    if (dueUs < this.measureFromUs) this.refusedInWarmup++;
    const told = remark.slice(0, 120).replace(/\d+/g, "N").replace(/\.$/, "");
    const kind = `${responseCodeName(code)}${told === "" ? "" : `: ${told}`}`;
    const known = this.refusals.get(kind);
    if (known !== undefined || this.refusals.size < REFUSAL_KINDS_MAX) this.refusals.set(kind, (known ?? 0) + 1);
    if (++this.#refusedInARow < REFUSALS_IN_A_ROW_MAX) return;
    const count = `${REFUSALS_IN_A_ROW_MAX} messages in a row`;
    throw new CometError("COMETMQ_REMOTE", `${lane.connection.address} refuses ${count}: ${kind}.`);
  }

  #fill(lane: SendLane, nowUs = monotonicUs()): void {
    const { connection } = lane;
    const nowMs = systemClock.nowMs();
    while (this.sentCount < this.numberEnd && connection.mayWrite) lane.write(this.sentCount++, nowUs, nowUs, nowMs);
    connection.link.flush();
  }

  #freeLane(): SendLane | undefined {
    const lanes = this.#lanes;
    for (let tried = 0; tried < lanes.length; tried++) {
      const lane = lanes[this.#nextLane++ % lanes.length]!;
      if (lane.connection.mayWrite) return lane;
    }
    return undefined;
  }
}

/** The message is there then, though not on so many disks as was wished. */
function isStored(code: number): boolean {
  return (
    code === ResponseCode.SUCCESS ||
    code === ResponseCode.FLUSH_DISK_TIMEOUT ||
    code === ResponseCode.SLAVE_NOT_AVAILABLE ||
    code === ResponseCode.FLUSH_SLAVE_TIMEOUT
  );
}
