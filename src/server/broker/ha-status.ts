/**
 * Codes 907, 908 and 1007: who copies this broker's log (store/ha/DefaultHAService.java#getRuntimeInfo). Nobody does:
 * there is no HA, and a master passes over 908; without a controller there are no epochs.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor } from "../../remoting/types.js";
import { failure, jsonAnswer, SUCCESS } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

const NO_CLIENT = {
  lastReadTimestamp: 0,
  lastWriteTimestamp: 0,
  masterFlushOffset: 0,
  maxOffset: 0,
  transferredByteInSecond: 0,
};

export function registerHaStatus(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_BROKER_HA_STATUS, ({ store }) =>
    jsonAnswer({
      haClientRuntimeInfo: NO_CLIENT,
      haConnectionInfo: [],
      inSyncSlaveNums: 0,
      master: true,
      masterCommitLogMaxOffset: store.maxPhyOffset(),
    }),
  );
  serve(processors, context, RequestCode.RESET_MASTER_FLUSH_OFFSET, () => SUCCESS);
  serve(processors, context, RequestCode.GET_BROKER_EPOCH_CACHE, () =>
    failure(ResponseCode.SYSTEM_ERROR, "this request only for controllerMode"),
  );
}
