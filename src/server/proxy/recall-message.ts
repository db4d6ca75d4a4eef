/** RecallMessage (proxy/grpc/v2/producer/RecallMessageActivity.java). */
import { Code } from "../../grpc/enums.js";
import type { RecallMessageRequest } from "../../grpc/messages.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { messageTypeOf } from "../broker/attributes.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError } from "./proxy-error.js";
import { findTopic } from "./query-route.js";
import { checkTopic } from "./validation.js";

const HANDLE_CHARS_MAX = 4096;

export async function recallMessage(
  proxy: ProxyServices,
  context: RpcContext,
  request: RecallMessageRequest,
): Promise<object> {
  const topic = checkTopic(proxy.broker, request.topic);
  const { config } = proxy.broker;
  const type = messageTypeOf(findTopic(proxy, topic).attributes);
  if (config.enableTopicMessageTypeCheck && type !== "DELAY" && type !== "MIXED") {
    const text = `TopicMessageType validate failed, the expected type is ${type}, but actual type is DELAY`;
    throw new ProxyError(Code.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, text);
  }
  const { recallHandle } = request;
  if (recallHandle === "" || recallHandle.length > HANDLE_CHARS_MAX) {
    throw new ProxyError(Code.INTERNAL_SERVER_ERROR, "recall handle is invalid");
  }
  const fields = { producerGroup: topic, topic, recallHandle, brokerName: config.brokerName };
  const code = RequestCode.RECALL_MESSAGE;
  const answer = await context.peer.connection.request(code, fields, undefined, REQUEST_MS_MAX);
  if (answer.code !== ResponseCode.SUCCESS) throw brokerError(answer);
  return { status: OK, messageId: answer.fields.msgId ?? "" };
}
