/** The body of a batch (codes 320 and, marked as one, 310) as messages to put: common/message/MessageDecoder. */
import { MessageBatchCursor } from "../../record/message-batch.js";
import { asciiName, findProperty, ValueRange } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import type { Request } from "../../remoting/types.js";
import type { MessageInput } from "../../store/types.js";
import type { Topic } from "./topic-config.js";

const TOPIC_LENGTH_MAX = 127;
const MULTI_DISPATCH = asciiName(PropertyName.INNER_MULTI_DISPATCH);
export const INNER_BATCH_REMARK = "the message is illegal: an inner batch needs a topic with batch queues";
/** Its messages would be shown at once, and no end of the transaction would find one. */
export const TRANSACTION_BATCH_REMARK = "the message is illegal: a batch can not be a part of a transaction";
/** Apache without enableLmq takes such messages and lets those wait who read the light queues. */
export const LIGHT_QUEUES_REMARK =
  "light message queues (the property INNER_MULTI_DISPATCH) are not served by this broker";

export class BatchBody {
  /** What the last body was made of; the bytes are the request's. */
  readonly messages: MessageInput[] = [];
  readonly #cursor = new MessageBatchCursor();
  readonly #light = new ValueRange();

  /** Each message keeps the properties that its producer gave it, the rest is `common`'s. Answers what is wrong, or "". */
  read({ bytes, bodyStart, bodyEnd }: Request, topic: Topic, common: MessageInput): string {
    const { messages } = this;
    messages.length = 0;
    if (topic.nameBytes.length > TOPIC_LENGTH_MAX) return `message topic length too long ${topic.nameBytes.length}`;
    const cursor = this.#cursor;
    cursor.reset(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), bodyStart, bodyEnd);
    while (cursor.next()) {
      const { flag, propertiesStart, propertiesLength } = cursor;
      const propertiesEnd = propertiesStart + propertiesLength;
      if (findProperty(bytes, propertiesStart, propertiesEnd, MULTI_DISPATCH, this.#light)) return LIGHT_QUEUES_REMARK;
      const range = { bodyStart: cursor.bodyStart, bodyLength: cursor.bodyLength, propertiesStart, propertiesLength };
      messages.push({ ...common, flag, properties: bytes, ...range });
    }
    return cursor.malformed ? `the batch body is malformed: message ${messages.length} is not whole` : "";
  }
}
