/**
 * Puts access control in front of processors, for requests that come over a connection. Without it there is no guard, and
 * a request costs what it cost before.
 */
import { ResponseCode } from "../../remoting/codes.js";
import type { Processor, StrangerRefusal } from "../../remoting/types.js";
import type { AccessControl } from "./access-control.js";

/** Of `processors` as they are now. Codes in `open` are anybody's. */
export function guarded(
  processors: ReadonlyMap<number, Processor>,
  access: AccessControl,
  open: ReadonlySet<string> = new Set(),
): Map<number, Processor> {
  const entries = [...processors].map(([code, processor]): [number, Processor] => [
    code,
    open.has(String(code)) ? processor : guard(processor, access),
  ]);
  return new Map(entries);
}

/** As Apache's broker does, strangers are not told which codes there are; nothing is asked for what is not there. */
export function strangerRefusal(access: AccessControl): StrangerRefusal {
  return (request, connection) => access.refusalOf(request, connection, () => []);
}

function guard(processor: Processor, access: AccessControl): Processor {
  return (request, connection) => {
    const refusal = access.refusalOf(request, connection);
    if (refusal === undefined) {
      processor(request, connection);
      return;
    }
    const { opaque, serializeType } = request.header;
    connection.writer.response(opaque, serializeType, ResponseCode.NO_PERMISSION, refusal);
  };
}
