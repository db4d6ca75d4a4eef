/** How a put that failed is answered (SendMessageProcessor#handlePutMessageResult). */
import { ResponseCode } from "../../remoting/codes.js";
import { PutStatus } from "../../store/types.js";

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
        remark: `service not available now: ${failure?.message ?? "the store is closing."}`,
      };
    case PutStatus.CREATE_MAPPED_FILE_FAILED:
      return { code: ResponseCode.SYSTEM_ERROR, remark: "create mapped file failed, server is busy or broken." };
    case PutStatus.OS_PAGE_CACHE_BUSY:
      return { code: ResponseCode.SYSTEM_BUSY, remark: "[PC_SYNCHRONIZED]broker busy, start flow control for a while" };
    default:
      return { code: ResponseCode.SYSTEM_ERROR, remark: `the message was not stored: status ${status}` };
  }
}
