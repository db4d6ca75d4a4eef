/** Headers of the PROXY protocol, written by hand. */

export const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
/** 203.0.113.9:4444 came to 127.0.0.1:10911. */
export const IPV4_BLOCK = Buffer.from([203, 0, 113, 9, 127, 0, 0, 1, 0x11, 0x5c, 0x2a, 0x9f]);
/** [2001:db8::1]:4444 came to [2001:db8::2]:10911. */
export const IPV6_BLOCK = Buffer.from(
  "20010db800000000000000000000000120010db8000000000000000000000002115c2a9f",
  "hex",
);

export function v1(source: string, port: number | string, protocol = "TCP4", destination = "127.0.0.1"): Buffer {
  return Buffer.from(`PROXY ${protocol} ${source} ${destination} ${port} 10911\r\n`);
}

/** `command` 1 is PROXY, 0 is LOCAL; `family` 0x11 is TCP over IPv4. */
export function v2(command: number, family: number, block: Buffer, ...tlvs: Buffer[]): Buffer {
  const body = Buffer.concat([block, ...tlvs]);
  const fixed = Buffer.from([0x20 | command, family, body.length >> 8, body.length & 255]);
  return Buffer.concat([SIGNATURE, fixed, body]);
}

export function tlv(type: number, valueBytes: number, declaredBytes = valueBytes): Buffer {
  return Buffer.concat([Buffer.from([type, declaredBytes >> 8, declaredBytes & 255]), Buffer.alloc(valueBytes, 0x61)]);
}
