/**
 * A certificate that a process makes for itself and keeps in memory, for TLS clients on loopback that trust whatever
 * they get (Apache's test mode, which uses Netty's SelfSignedCertificate). ECDSA on P-256; X.509 is written out here,
 * RFC 5280, for it is all of ASN.1 that CometMQ needs.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

const DAY_MS = 86_400_000;
const BACKDATED_MS = DAY_MS;
const LIFETIME_MS = 3650 * DAY_MS;

/** Content octets of object identifiers. */
const ECDSA_WITH_SHA256 = Buffer.from("2a8648ce3d040302", "hex");
const COMMON_NAME = Buffer.from("550403", "hex");
const SUBJECT_ALT_NAME = Buffer.from("551d11", "hex");
const BASIC_CONSTRAINTS = Buffer.from("551d13", "hex");

const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  /** Context-specific, of SubjectAltName. */
  DNS_NAME: 0x82,
  IP_ADDRESS: 0x87,
  /** Context-specific, of TBSCertificate. */
  VERSION: 0xa0,
  EXTENSIONS: 0xa3,
} as const;
type Tag = (typeof Tag)[keyof typeof Tag];

/** PEM texts. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** For `localhost`, 127.0.0.1 and ::1, ten years from the day before `nowMs`. */
export function makeLoopbackCertificate(nowMs: number): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(der(Tag.OBJECT_IDENTIFIER, ECDSA_WITH_SHA256));
  const name = sequence(
    der(Tag.SET, sequence(der(Tag.OBJECT_IDENTIFIER, COMMON_NAME), der(Tag.UTF8_STRING, Buffer.from("localhost")))),
  );
  const toBeSigned = sequence(
    der(Tag.VERSION, der(Tag.INTEGER, Buffer.from([2]))),
    der(Tag.INTEGER, serialNumber()),
    algorithm,
    name,
    sequence(time(nowMs - BACKDATED_MS), time(nowMs + LIFETIME_MS)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(Tag.EXTENSIONS, sequence(basicConstraints(), subjectAltName())),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const certificate = sequence(toBeSigned, algorithm, der(Tag.BIT_STRING, Buffer.from([0]), signature));
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: pem(certificate),
  };
}

/** Critical, and empty: no certificate authority. */
function basicConstraints(): Buffer {
  const critical = der(Tag.BOOLEAN, Buffer.from([0xff]));
  return sequence(der(Tag.OBJECT_IDENTIFIER, BASIC_CONSTRAINTS), critical, der(Tag.OCTET_STRING, sequence()));
}

function subjectAltName(): Buffer {
  const names = sequence(
    der(Tag.DNS_NAME, Buffer.from("localhost")),
    der(Tag.IP_ADDRESS, Buffer.from([127, 0, 0, 1])),
    der(Tag.IP_ADDRESS, Buffer.from("00000000000000000000000000000001", "hex")),
  );
  return sequence(der(Tag.OBJECT_IDENTIFIER, SUBJECT_ALT_NAME), der(Tag.OCTET_STRING, names));
}

/** Positive, and without a leading zero byte, as DER wants integers. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes;
}

/** Two digits of the year up to 2049, four from then on. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return digits < "2050"
    ? der(Tag.UTC_TIME, Buffer.from(digits.slice(2)))
    : der(Tag.GENERALIZED_TIME, Buffer.from(digits));
}

function sequence(...parts: Uint8Array[]): Buffer {
  return der(Tag.SEQUENCE, ...parts);
}

function der(tag: Tag, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
