/** Requests that brokers send to clients, and how they are answered. */
import type { Logger } from "../base/log.js";
import { requestCodeName, ResponseCode } from "../remoting/codes.js";
import type { Fields, Processor } from "../remoting/types.js";

/** Requests of a kind that are worked on at once; further ones are told to come later. */
const IN_FLIGHT_MAX = 256;

/** One request, copied from the wire. */
export interface BrokerRequest {
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** Of the broker: `127.0.0.1:10911`. */
  readonly address: string;
}

export interface BrokerAnswer {
  readonly code: number;
  readonly remark?: string;
  readonly fields?: Fields;
  readonly body?: Uint8Array;
}

export type BrokerRequestHandler = (request: BrokerRequest) => Promise<BrokerAnswer | undefined>;

const DONE: BrokerAnswer = { code: ResponseCode.SUCCESS };

/** A handler that fails is answered with SYSTEM_ERROR and logged; one that gives nothing, with SUCCESS. */
export function brokerProcessor(handler: BrokerRequestHandler, log: Logger): Processor {
  let inFlight = 0;
  return (request, connection) => {
    const { opaque, serializeType, isOneway, code } = request.header;
    const answer = ({ code: answered, remark, fields, body }: BrokerAnswer) => {
      if (isOneway || connection.closed) return;
      connection.writer.response(opaque, serializeType, answered, remark, fields, body && Buffer.from(body));
      connection.flush();
    };
    if (inFlight >= IN_FLIGHT_MAX) {
      answer({ code: ResponseCode.SYSTEM_BUSY, remark: `${IN_FLIGHT_MAX} requests of this kind are being worked on` });
      return;
    }
    inFlight++;
    const copy = {
      fields: request.header.fields(),
      body: Buffer.from(request.body),
      address: connection.remoteAddress,
    };
    handler(copy)
      .then((result) => answer(result ?? DONE))
      .catch((error: unknown) => {
        log.warn({ err: error, address: copy.address }, `${requestCodeName(code)} failed`);
        answer({ code: ResponseCode.SYSTEM_ERROR, remark: error instanceof Error ? error.message : String(error) });
      })
      .finally(() => {
        inFlight--;
      });
  };
}
