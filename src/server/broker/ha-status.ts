/**
 * Codes 905 to 908, 1007 and 1008: who copies this broker's log (store/ha/DefaultHAService.java#getRuntimeInfo). Nobody
 * does: there is no HA, and a master passes over 905, 908 and the address of another; without a controller there are no
 * epochs, and 1008 changes nothing. Apache's master tells a slave that asks by 906 where its log can be had: it is
 * refused here, for a slave that hears of no such address serves what it has.
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
const PASSED_OVER = [
  RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE,
  RequestCode.RESET_MASTER_FLUSH_OFFSET,
  RequestCode.NOTIFY_BROKER_ROLE_CHANGED,
];
const NO_SLAVES = "This broker has no slaves: there is no address that its log can be copied from.";

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
  for (const code of PASSED_OVER) serve(processors, context, code, () => SUCCESS);
  serve(processors, context, RequestCode.EXCHANGE_BROKER_HA_INFO, (_, { header }) =>
    header.text("masterHaAddress") === undefined
      ? failure(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, NO_SLAVES)
      : SUCCESS,
  );
  serve(processors, context, RequestCode.GET_BROKER_EPOCH_CACHE, () =>
    failure(ResponseCode.SYSTEM_ERROR, "this request only for controllerMode"),
  );
}
