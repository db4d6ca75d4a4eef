import { createPrivateKey, X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { makeLoopbackCertificate } from "#src/remoting/tls-certificate.js";

test("a certificate of one's own is one that OpenSSL reads and verifies", () => {
  const nowMs = Date.UTC(2026, 4, 3, 2, 1, 0);
  const { key, cert } = makeLoopbackCertificate(nowMs);
  const read = new X509Certificate(cert);
  expect(read.subject).toBe("CN=localhost");
  expect(read.issuer).toBe("CN=localhost");
  expect(read.ca).toBe(false);
  expect(read.subjectAltName).toBe("DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  expect(read.checkHost("localhost")).toBe("localhost");
  expect(read.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(read.validFrom).toBe("May  2 02:01:00 2026 GMT");
  expect(read.validTo).toBe("Apr 30 02:01:00 2036 GMT");
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(read.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
});

test("years from 2050 on are written in four digits", () => {
  const read = new X509Certificate(makeLoopbackCertificate(Date.UTC(2049, 11, 31)).cert);
  expect(read.validFrom).toBe("Dec 30 00:00:00 2049 GMT");
  expect(read.validTo).toBe("Dec 29 00:00:00 2059 GMT");
});

test("no two are alike, and serial numbers are positive and 16 bytes", () => {
  const serials = Array.from({ length: 20 }, () => new X509Certificate(makeLoopbackCertificate(0).cert).serialNumber);
  expect(new Set(serials).size).toBe(20);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
});
