/** Key-value settings and the name server's own. Answers: namesrv/processor/DefaultRequestProcessor.java. */
import { CometError } from "../../base/errors.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Request } from "../../remoting/types.js";
import { kvTableJson } from "../protocol/kv-table.js";
import { type Answer, failure, type Handler, jsonAnswer, missing, quoted, requiredText, SUCCESS } from "../answer.js";
import type { NameServerState } from "./state.js";

const CONFIG_BYTES_MAX = 65_536;

/** A change that did not reach the disk has not happened, and the client is told so. */
async function changedKvConfig(state: NameServerState, change: Promise<void>): Promise<Answer> {
  try {
    await change;
    return SUCCESS;
  } catch (error) {
    if (!(error instanceof CometError) || error.code === "COMETMQ_BAD_REQUEST") throw error;
    state.log.error({ err: error }, "the key-value file could not be written");
    return failure(ResponseCode.SYSTEM_ERROR, "The key-value file could not be written; nothing was changed.");
  }
}

function putKvConfig(state: NameServerState, { header }: Request): Answer | Promise<Answer> {
  const namespace = requiredText(header, "namespace");
  const key = requiredText(header, "key");
  const value = requiredText(header, "value");
  const change = state.kvConfig.put(namespace, key, value);
  return change === undefined ? SUCCESS : changedKvConfig(state, change);
}

function getKvConfig(state: NameServerState, { header }: Request): Answer {
  const namespace = header.text("namespace");
  const key = header.text("key");
  if (namespace === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "namespace");
  if (key === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "key");
  const value = state.kvConfig.get(namespace, key);
  if (value !== undefined) return { code: ResponseCode.SUCCESS, fields: { value } };
  const remark = `No config item, Namespace: ${quoted(namespace)} Key: ${quoted(key)}`;
  return failure(ResponseCode.QUERY_NOT_FOUND, remark);
}

function deleteKvConfig(state: NameServerState, { header }: Request): Answer | Promise<Answer> {
  const namespace = requiredText(header, "namespace");
  const key = requiredText(header, "key");
  const change = state.kvConfig.delete(namespace, key);
  return change === undefined ? SUCCESS : changedKvConfig(state, change);
}

function kvListByNamespace(state: NameServerState, { header }: Request): Answer {
  const namespace = header.text("namespace");
  if (namespace === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "namespace");
  const values = state.kvConfig.list(namespace);
  if (values !== undefined) return jsonAnswer(kvTableJson(values));
  return failure(ResponseCode.QUERY_NOT_FOUND, `No config item, Namespace: ${quoted(namespace)}`);
}

function updateConfig(state: NameServerState, { body }: Request, connection: Connection): Answer {
  if (body.length > CONFIG_BYTES_MAX) return failure(ResponseCode.SYSTEM_ERROR, "The configuration is too long.");
  const update = state.config.update(body.toString());
  if (update !== "updated") {
    const name = quoted(update.name);
    state.log.warn({ name, client: connection.remoteAddress }, "a change of configuration is refused");
    return update.refused === "name"
      ? failure(ResponseCode.NO_PERMISSION, `${name} cannot be changed while the name server runs.`)
      : failure(ResponseCode.SYSTEM_ERROR, `The value of ${name} does not fit.`);
  }
  state.log.info({ ...state.config.settings, client: connection.remoteAddress }, "configuration changed");
  return SUCCESS;
}

export function configHandlers(state: NameServerState): [number, Handler][] {
  return [
    [RequestCode.PUT_KV_CONFIG, (request) => putKvConfig(state, request)],
    [RequestCode.GET_KV_CONFIG, (request) => getKvConfig(state, request)],
    [RequestCode.DELETE_KV_CONFIG, (request) => deleteKvConfig(state, request)],
    [RequestCode.GET_KVLIST_BY_NAMESPACE, (request) => kvListByNamespace(state, request)],
    [RequestCode.UPDATE_NAMESRV_CONFIG, (request, connection) => updateConfig(state, request, connection)],
    [RequestCode.GET_NAMESRV_CONFIG, () => ({ code: ResponseCode.SUCCESS, body: Buffer.from(state.config.format()) })],
  ];
}
