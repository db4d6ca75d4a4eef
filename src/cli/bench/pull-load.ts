/**
 * The receiving side of a wire benchmark: pulls of one group at one broker, as push consumers make them. Either every
 * queue has a long poll of its own, without an end; or a stretch of each queue is read, some queues at a time.
 */
import { CometError } from "../../base/errors.js";
import { RequestCode, ResponseCode, responseCodeName } from "../../remoting/codes.js";
import type { HeaderView } from "../../remoting/header-view.js";
import { type Fields, SerializeType } from "../../remoting/types.js";
import { RecordVerdict, RecordView } from "../../record/record-view.js";
import type { Latencies } from "./latencies.js";
import { LoadConnection, type LoadConnectionOptions } from "./load-connection.js";
import { monotonicUs } from "./pace-task.js";
import type { Receipts } from "./receipts.js";

const SUBSCRIPTION_FLAG = 4;
const SUSPEND_FLAG = 2;
const SUSPEND_MS = 15_000;
const PULL_MAX = 32;
const AGAIN_MS = 20;

export interface QueueStretch {
  readonly queueId: number;
  readonly from: number;
  /** Infinity to go on with what comes. */
  readonly to: number;
}

export interface PullOptions extends Omit<LoadConnectionOptions, "slots" | "onAnswer"> {
  readonly topic: string;
  readonly queues: readonly QueueStretch[];
  readonly receipts: Receipts;
  /** Queues that are read at a time; all of them where they are followed. */
  readonly inFlight: number;
  /** Of the pulls, when they are measured. */
  readonly pullLatencies?: Latencies;
  readonly signer: ((fields: Fields, body?: Uint8Array) => Fields) | undefined;
}

export class PullLoad {
  readonly #options: PullOptions;
  readonly #connection: LoadConnection;
  readonly #waiting: QueueStretch[];
  /** What the slots read, and where they are in it. */
  readonly #queues: (QueueStretch | undefined)[];
  readonly #offsets: Float64Array;
  readonly #writtenUs: Float64Array;
  readonly #record = new RecordView();
  readonly #isFollowing: boolean;
  /** Stretches that are not read yet. */
  leftCount: number;

  constructor(options: PullOptions) {
    const { queues } = options;
    this.#options = options;
    this.#isFollowing = queues.some(({ to }) => to === Number.POSITIVE_INFINITY);
    this.#waiting = queues.filter(({ from, to }) => from < to).reverse();
    this.leftCount = this.#waiting.length;
    const slots = Math.max(1, Math.min(this.leftCount, this.#isFollowing ? this.leftCount : options.inFlight));
    this.#queues = new Array(slots).fill(undefined);
    this.#offsets = new Float64Array(slots);
    this.#writtenUs = new Float64Array(slots);
    this.#connection = new LoadConnection({
      ...options,
      slots,
      onAnswer: (slot, header, bytes, bodyStart, bodyEnd) => this.#onAnswer(slot, header, bytes, bodyStart, bodyEnd),
    });
  }

  async open(): Promise<void> {
    await this.#connection.open();
    while (this.#connection.freeSlots > 0 && this.#waiting.length > 0) this.#begin(this.#connection.take());
    this.#connection.link.flush();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #begin(slot: number): void {
    const queue = this.#waiting.pop();
    this.#queues[slot] = queue;
    if (queue === undefined) {
      this.#connection.release(slot);
      return;
    }
    this.#offsets[slot] = queue.from;
    this.#pull(slot, queue.queueId);
  }

  #pull(slot: number, queueId: number): void {
    const { topic, receipts, signer } = this.#options;
    const fields: Fields = {
      consumerGroup: receipts.group,
      topic,
      queueId,
      queueOffset: this.#offsets[slot]!,
      maxMsgNums: PULL_MAX,
      sysFlag: SUBSCRIPTION_FLAG | (this.#isFollowing ? SUSPEND_FLAG : 0),
      commitOffset: 0,
      suspendTimeoutMillis: this.#isFollowing ? SUSPEND_MS : 0,
      subscription: "*",
      subVersion: 0,
      expressionType: "TAG",
    };
    const { link } = this.#connection;
    const opaque = this.#connection.opaqueOf(slot);
    if (this.#options.pullLatencies !== undefined) this.#writtenUs[slot] = monotonicUs();
    const signed = signer === undefined ? fields : signer(fields);
    link.writer.request(opaque, SerializeType.JSON, RequestCode.PULL_MESSAGE, false, signed);
    link.flush();
  }

  #onAnswer(slot: number, header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number): void {
    const queue = this.#queues[slot]!;
    const offset = this.#offsets[slot]!;
    const { code } = header;
    const next = header.integer("nextBeginOffset") ?? offset;
    this.#options.pullLatencies?.record(monotonicUs() - this.#writtenUs[slot]!);
    if (code === ResponseCode.SUCCESS) this.#takeRecords(bytes, bodyStart, bodyEnd, queue);
    else if (!isNothing(code)) {
      const told = `${responseCodeName(code)}: ${header.remark.replace(/\.$/, "")}`;
      throw new CometError("COMETMQ_REMOTE", `${this.#connection.address} answers ${told}.`);
    }
    this.#offsets[slot] = next;
    if (next < queue.to && (this.#isFollowing || next > offset)) {
      // Who is told to come again at once, with nothing to come for, waits a little.
      if (next > offset || code === ResponseCode.PULL_NOT_FOUND) this.#pull(slot, queue.queueId);
      else setTimeout(() => this.#pull(slot, queue.queueId), AGAIN_MS).unref();
      return;
    }
    // The stretch is read, or its queue has no more than this: what is missing then is seen in the account.
    this.leftCount--;
    this.#begin(slot);
  }

  #takeRecords(bytes: Buffer, bodyStart: number, bodyEnd: number, { from, to }: QueueStretch): void {
    const nowUs = monotonicUs();
    const record = this.#record;
    const { receipts } = this.#options;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bodyEnd);
    for (let at = bodyStart; at < bodyEnd; at += record.totalSize) {
      if (record.read(view, at, bodyEnd) !== RecordVerdict.RECORD) {
        throw new CometError("COMETMQ_REMOTE", `${this.#connection.address} answers a pull with no whole record.`);
      }
      if (record.queueOffset < from || record.queueOffset >= to) continue;
      receipts.take(bytes, record.bodyStart, record.bodyLength, nowUs);
    }
  }
}

function isNothing(code: number): boolean {
  return (
    code === ResponseCode.PULL_NOT_FOUND ||
    code === ResponseCode.PULL_RETRY_IMMEDIATELY ||
    code === ResponseCode.PULL_OFFSET_MOVED
  );
}
