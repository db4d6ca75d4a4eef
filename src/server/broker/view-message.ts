/** Code 33: the message at an offset of the log (broker/processor/QueryMessageProcessor.java#viewMessageById). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, requiredInteger } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";
import { isRecordAt, topicOf } from "./stored-message.js";

export function registerViewMessage(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.VIEW_MESSAGE_BY_ID, viewMessage);
}

function viewMessage({ store, access }: BrokerContext, request: Request): Answer {
  const { header } = request;
  const offset = requiredInteger(header, "offset");
  const inLog = Number.isSafeInteger(offset) && offset >= store.minPhyOffset() && offset < store.maxPhyOffset();
  const record = inLog ? store.lookAt(offset) : undefined;
  if (record !== undefined && isRecordAt(record, offset)) {
    // Who may read one topic is not to read another's messages under its name.
    if (access?.enforced === true && access.control.signerOf(request)?.isSuper !== true) {
      const named = header.text("topic") ?? "";
      if (named !== "" && named !== topicOf(record)) {
        return failure(ResponseCode.NO_PERMISSION, `the message at the offset, ${offset}, is of another topic`);
      }
    }
    return { code: ResponseCode.SUCCESS, body: record };
  }
  return failure(ResponseCode.SYSTEM_ERROR, `can not find message by the offset, ${offset}`);
}
