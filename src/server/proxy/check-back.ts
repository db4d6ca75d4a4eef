/** A transaction that nobody has ended: its producer is asked (GrpcClientChannel#processCheckTransaction). */
import { decodeRecord } from "../../record/decode.js";
import { PropertyName } from "../../record/property-names.js";
import type { Fields } from "../../remoting/types.js";
import type { ProxyClient } from "./client-table.js";
import { messageOfRecord } from "./message-of-record.js";
import type { ProxyServices } from "./proxy.js";

export function checkBack(
  proxy: ProxyServices,
  client: ProxyClient,
  fields: Fields,
  body: Uint8Array | undefined,
): void {
  if (body === undefined) return;
  const record = decodeRecord(Buffer.from(body));
  const group = record.properties.get(PropertyName.PRODUCER_GROUP) ?? record.topic;
  const transactionId = String(fields.transactionId ?? record.properties.get("UNIQ_KEY") ?? "");
  const data = { queueOffset: Number(fields.tranStateTableOffset), phyOffset: Number(fields.commitLogOffset) };
  proxy.transactions.add(group, transactionId, data);
  const message = messageOfRecord(record);
  if (client.write({ recoverOrphanedTransactionCommand: { message, transactionId } })) return;
  proxy.log.info({ clientId: client.clientId, transactionId }, "a producer could not be asked about a transaction");
}
