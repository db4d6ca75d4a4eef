/**
 * Codes 354, 355 and 200056: what Apache does with queues, settings and leases that it keeps in RocksDB when told to
 * (AdminBrokerProcessor.java). Nothing here is in RocksDB, so nothing is to be compared, exported or moved, and tools
 * are answered as by an Apache broker that does without.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor } from "../../remoting/types.js";
import { jsonAnswer, SUCCESS } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

/** CheckRocksdbCqWriteResult.CheckStatus.CHECK_OK. */
const CHECK_OK = 0;

export function registerRocksDb(processors: Map<number, Processor>, context: BrokerContext): void {
  const nothingToCheck = {
    checkResult: "Queues are not kept in RocksDB, there is nothing to check",
    checkStatus: CHECK_OK,
  };
  serve(processors, context, RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS, () => jsonAnswer(nothingToCheck));
  const exported = { code: ResponseCode.SUCCESS, remark: "export done." };
  serve(processors, context, RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON, () => exported);
  serve(processors, context, RequestCode.POP_ROLLBACK, () => SUCCESS);
}
