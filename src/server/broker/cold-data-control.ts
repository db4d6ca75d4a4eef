/**
 * Codes 2001 to 2004: how much a group may read of what has left the memory (broker/coldctr/ColdDataCgCtrService.java).
 * As in an Apache broker without coldDataFlowControlEnable, the limits are kept and shown and nobody is slowed down;
 * they last until the broker stops.
 */
import { CometError } from "../../base/errors.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, SUCCESS } from "../answer.js";
import { parseProperties } from "../protocol/java-properties.js";
import type { BrokerContext } from "./context.js";
import { isSafeName } from "./names.js";
import { serve } from "./serve.js";

const BODY_BYTES_MAX = 65_536;
const GROUPS_MAX = 4096;
const MADV_NORMAL = "0";
const MADV_RANDOM = "1";

export function registerColdDataControl(processors: Map<number, Processor>, context: BrokerContext): void {
  /** Group to bytes in a minute. */
  const limits = new Map<string, number>();
  serve(processors, context, RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG, (broker, request, connection) =>
    updateLimits(broker, limits, request, connection),
  );
  serve(processors, context, RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG, (_broker, { body }) => {
    limits.delete(body.toString());
    return SUCCESS;
  });
  serve(processors, context, RequestCode.GET_COLD_DATA_FLOW_CTR_INFO, ({ settings }) =>
    jsonAnswer({
      runtimeTable: {},
      configTable: limits,
      cgColdReadThreshold: Number(settings.shown("cgColdReadThreshold")),
      globalColdReadThreshold: Number(settings.shown("globalColdReadThreshold")),
      globalAcc: 0,
    }),
  );
  serve(processors, context, RequestCode.SET_COMMITLOG_READ_MODE, setReadMode);
}

/** All of the body or nothing. */
function updateLimits(
  { log }: BrokerContext,
  limits: Map<string, number>,
  request: Request,
  { remoteAddress }: Connection,
) {
  const { body } = request;
  if (body.length > BODY_BYTES_MAX) return failure(ResponseCode.SYSTEM_ERROR, "The configuration is too long.");
  const given = new Map<string, number>();
  for (const [group, text] of parseProperties(body.toString())) {
    const threshold = /^\d{1,15}$/.test(text.trim()) ? Number(text) : -1;
    if (threshold < 0 || !isSafeName(group)) {
      throw new CometError("COMETMQ_BAD_REQUEST", `${quoted(group)}=${quoted(text)} is no threshold of a group.`);
    }
    given.set(group, threshold);
  }
  const newCount = [...given.keys()].filter((group) => !limits.has(group)).length;
  if (limits.size + newCount > GROUPS_MAX) return failure(ResponseCode.SYSTEM_ERROR, "There are too many groups.");
  for (const [group, threshold] of given) limits.set(group, threshold);
  log.info({ limits: [...given], client: remoteAddress }, "limits of cold reads set; they are not enforced");
  return SUCCESS;
}

/** The kernel's own read-ahead is the only one there is. */
function setReadMode(_context: BrokerContext, { header }: Request): Answer {
  const mode = header.text("READ_AHEAD_MODE")?.trim();
  if (mode === MADV_NORMAL) {
    return { code: ResponseCode.SUCCESS, remark: `set commitlog readahead mode success, mode: ${mode}` };
  }
  if (mode === MADV_RANDOM) {
    const remark = "CometMQ leaves reading ahead to the operating system: only mode 0 can be set.";
    return failure(ResponseCode.INVALID_PARAMETER, remark);
  }
  return failure(ResponseCode.INVALID_PARAMETER, "set commitlog readahead mode param value error");
}
