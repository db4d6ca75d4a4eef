/** What clients are told of a put that failed (SendMessageProcessor#handlePutMessageResult), or of a wrong header field. */
import { ResponseCode } from "../../remoting/codes.js";
import { PutStatus } from "../../store/types.js";
import { type Answer, failure, SUCCESS } from "../answer.js";
import type { FlushOutcome } from "./flush-waiters.js";

export interface PutRefusal {
  readonly code: number;
  readonly remark: string;
}

export function putRefusal(status: PutStatus, maxMessageSize: number, failure: Error | undefined): PutRefusal {
  switch (status) {
    case PutStatus.MESSAGE_ILLEGAL:
    case PutStatus.PROPERTIES_SIZE_EXCEEDED:
      return {
        code: ResponseCode.MESSAGE_ILLEGAL,
        remark:
          "the message is illegal, maybe msg body or properties length not matched. " +
          `msg body length limit ${maxMessageSize}B, msg properties length limit 32KB.`,
      };
    case PutStatus.DISK_FULL:
      return {
        code: ResponseCode.SERVICE_NOT_AVAILABLE,
        remark: "service not available now: the broker's disk is full.",
      };
    case PutStatus.SERVICE_NOT_AVAILABLE:
    case PutStatus.UNKNOWN_ERROR:
      return {
        code: ResponseCode.SERVICE_NOT_AVAILABLE,
        remark: `service not available now: ${failure?.message ?? "the store is closing, or the topic is being deleted."}`,
      };
    case PutStatus.CREATE_MAPPED_FILE_FAILED:
      return { code: ResponseCode.SYSTEM_ERROR, remark: "create mapped file failed, server is busy or broken." };
    case PutStatus.OS_PAGE_CACHE_BUSY:
      return { code: ResponseCode.SYSTEM_BUSY, remark: "[PC_SYNCHRONIZED]broker busy, start flow control for a while" };
    default:
      return { code: ResponseCode.SYSTEM_ERROR, remark: `the message was not stored: status ${status}` };
  }
}

/** What is answered by who had to wait for the disk; `storeFailure` is the store's. */
export function flushAnswer(outcome: FlushOutcome, storeFailure: Error | undefined): Answer {
  if (outcome === "flushed") return SUCCESS;
  if (outcome === "timed out") return failure(ResponseCode.FLUSH_DISK_TIMEOUT, "");
  return putRefusal(PutStatus.SERVICE_NOT_AVAILABLE, 0, storeFailure);
}

const QUOTED_CHARS_MAX = 64;

/** Why nothing is put into a topic that `hasBatchQueues`. */
export function batchQueuesRemark({ name }: { readonly name: string }): string {
  return `topic[${name}] has batch queues (queue.type=BatchCQ), which this broker only reads`;
}

/** `given` is what the header has under the name, if anything. */
export function wrongField(name: string, given: string | undefined, expected: string): string {
  if (given === undefined) return `the custom field <${name}> is null`;
  return `the custom field <${name}> is not ${expected}: ${JSON.stringify(given.slice(0, QUOTED_CHARS_MAX))}`;
}
