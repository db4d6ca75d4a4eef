/**
 * Ids as Apache's producers give them to messages (common/message/MessageClientIDSetter.java): 16 bytes in hexadecimal,
 * of which bytes 10 to 13 are the milliseconds since the month began, by which look-ups narrow their search.
 */
import { randomBytes } from "node:crypto";
import { systemClock } from "../../base/clock.js";

const TIME_AT = 10;
const COUNT_AT = 14;
const own = randomBytes(16);
let count = 0;

export function uniqueKey(): string {
  const nowMs = systemClock.nowMs();
  const now = new Date(nowMs);
  const monthMs = new Date(now.getFullYear(), now.getMonth(), 1).getTime();
  own.writeUInt32BE(nowMs - monthMs, TIME_AT);
  own.writeUInt16BE(count++ & 0xffff, COUNT_AT);
  return own.toString("hex").toUpperCase();
}
