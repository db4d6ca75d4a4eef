/**
 * The id a producer gives each message, property UNIQ_KEY (common/message/MessageClientIDSetter.java), in upper-case hex:
 *
 *   address 4 or 16 · process id 2 · class loader's hash 4 (here random) · milliseconds of the month 4 · counter 2
 */
import { randomBytes, randomInt } from "node:crypto";
import { networkInterfaces } from "node:os";
import { encodeHost } from "../record/host.js";
import type { Clock } from "../base/clock.js";

/** How far a clock may step back over the begin of a month. */
const STEP_BACK_MS = 1_000_000;

/** This machine's address as Apache chooses it: IPv4 before IPv6, a public one before others; loopback when there is no other. */
export function localAddress(): string {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const isPrivate = (address: string) => /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address);
  const ipv4 = addresses.filter(({ family }) => family === "IPv4");
  const chosen = ipv4.find(({ address }) => !isPrivate(address)) ?? ipv4[0] ?? addresses[0];
  return chosen?.address ?? "127.0.0.1";
}

export class UniqueIds {
  readonly #fixed: string;
  readonly #clock: Clock;
  #monthStart = 0;
  #nextMonthStart = 0;
  #counter = randomInt(65536);

  constructor(clock: Clock, address: string = localAddress(), pid: number = process.pid) {
    this.#clock = clock;
    const host = encodeHost(address, 0) ?? Buffer.alloc(8);
    const pidBytes = Buffer.alloc(2);
    pidBytes.writeUInt16BE(pid & 0xffff);
    this.#fixed = hex(Buffer.concat([host.subarray(0, -4), pidBytes, randomBytes(4)]));
  }

  next(): string {
    const now = this.#clock.nowMs();
    if (now >= this.#nextMonthStart || now < this.#monthStart - STEP_BACK_MS) this.#setMonth(now);
    const span = Buffer.allocUnsafe(6);
    span.writeUInt32BE(Math.max(0, now - this.#monthStart));
    span.writeUInt16BE(this.#counter, 4);
    this.#counter = (this.#counter + 1) & 0xffff;
    return this.#fixed + hex(span);
  }

  #setMonth(now: number): void {
    const date = new Date(now);
    this.#monthStart = new Date(date.getFullYear(), date.getMonth(), 1).getTime();
    this.#nextMonthStart = new Date(date.getFullYear(), date.getMonth() + 1, 1).getTime();
  }
}

function hex(bytes: Buffer): string {
  return bytes.toString("hex").toUpperCase();
}
