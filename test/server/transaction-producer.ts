/** A producer of transactions over a real connection: sends half messages, ends them, answers what it is asked. */
import { decodeRecord } from "#src/record/decode.js";
import { parseMessageId } from "#src/record/message-id.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Connection, Request } from "#src/remoting/types.js";
import { ANSWER_MS, properties, send } from "./harness.js";

export const COMMIT = 8;
export const ROLLBACK = 12;

export interface SentHalf {
  readonly body: string;
  readonly commitLogOffset: number;
  readonly tranStateTableOffset: number;
}

export class TransactionProducer {
  readonly client: RemotingClient;
  /** Bodies of the messages that it was asked about, in order. */
  readonly asked: string[] = [];
  readonly #group: string;
  /** What it answers, by body; to what is not here it gives no answer. */
  readonly #decisions: ReadonlyMap<string, number>;

  private constructor(port: number, group: string, decisions: ReadonlyMap<string, number>) {
    this.#group = group;
    this.#decisions = decisions;
    const check = (request: Request, connection: Connection) => this.#check(request, connection);
    this.client = new RemotingClient("127.0.0.1", port, {
      processors: new Map([[RequestCode.CHECK_TRANSACTION_STATE, check]]),
    });
  }

  /** One that the broker knows. */
  static async join(port: number, group: string, decisions: ReadonlyMap<string, number>): Promise<TransactionProducer> {
    const producer = new TransactionProducer(port, group, decisions);
    const data = { clientID: "c", consumerDataSet: [], producerDataSet: [{ groupName: group }] };
    await producer.client.call(RequestCode.HEART_BEAT, {}, Buffer.from(JSON.stringify(data)), ANSWER_MS);
    return producer;
  }

  #check({ header, body }: Request, connection: Connection): void {
    const text = decodeRecord(Buffer.from(body)).body.toString();
    this.asked.push(text);
    const decision = this.#decisions.get(text);
    if (decision === undefined) return;
    const place = {
      commitLogOffset: header.text("commitLogOffset"),
      tranStateTableOffset: header.text("tranStateTableOffset"),
    };
    const fields = { ...place, producerGroup: this.#group, commitOrRollback: decision, msgId: "M" };
    connection.pushOneway(RequestCode.END_TRANSACTION, { ...fields, fromTransactionCheck: true });
  }

  /** Rejects when the broker goes before it answers. */
  async sendHalf(topic: string, body: string, others: Record<string, string> = {}): Promise<SentHalf> {
    const given = properties({ TRAN_MSG: "true", PGROUP: this.#group, ...others });
    const fields = { producerGroup: this.#group, topic, sysFlag: 4, properties: given, bornTimestamp: Date.now() };
    const answer = await send(this.client, fields, body);
    if (answer.code !== 0) throw new Error(`code ${answer.code}: ${answer.remark}`);
    const commitLogOffset = parseMessageId(answer.fields["msgId"]!)!.phyOffset;
    return { body, commitLogOffset, tranStateTableOffset: Number(answer.fields["queueOffset"]) };
  }

  /** One-way, as clients do. */
  async end({ commitLogOffset, tranStateTableOffset }: SentHalf, commitOrRollback: number): Promise<void> {
    const fields = { producerGroup: this.#group, commitLogOffset, tranStateTableOffset, commitOrRollback, msgId: "M" };
    await this.client.oneway(RequestCode.END_TRANSACTION, { ...fields, fromTransactionCheck: false });
  }

  close(): Promise<void> {
    return Promise.resolve(this.client.close());
  }
}
