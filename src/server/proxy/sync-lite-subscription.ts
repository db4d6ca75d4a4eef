/** SyncLiteSubscription: light topics are not served, as by Apache's 5.4. */
import { Code } from "../../grpc/enums.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { statusOf } from "./proxy-error.js";

export async function syncLiteSubscription(
  _proxy: ProxyServices,
  _context: RpcContext,
  _request: object,
): Promise<object> {
  return { status: statusOf(Code.NOT_IMPLEMENTED, "lite topics are not served by this broker") };
}
