import { expect, test } from "vitest";
import { BrokerSettings, defaultBrokerConfig, readBrokerConfig } from "#src/server/broker/broker-config.js";
import { readTlsProperties, tlsClientOptions, tlsServerOptions } from "#src/server/broker/tls-config.js";
import { FakeClock } from "./harness.js";

const FILES = { readFile: (path: string) => Buffer.from(`content of ${path}`) };

test("a tls.properties of Apache's sets up both ends", () => {
  const reading = readTlsProperties(`
tls.test.mode.enable=false
tls.server.need.client.auth=require
tls.server.keyPath=/certs/server.key
tls.server.keyPassword=hush
tls.server.certPath=/certs/server.pem
tls.server.authClient=true
tls.server.trustCertPath=/certs/ca.pem
tls.client.keyPath=/certs/client.key
tls.client.certPath=/certs/client.pem
tls.client.authServer=true
tls.client.trustCertPath=/certs/ca.pem
tls.protocols=TLSv1.3
tls.enable=true
`);
  const { readFile, ...server } = tlsServerOptions(reading.config, FILES);
  expect(server).toEqual({
    mode: "permissive",
    testMode: false,
    keyPath: "/certs/server.key",
    keyPassword: "hush",
    certPath: "/certs/server.pem",
    trustCertPath: "/certs/ca.pem",
    needClientAuth: "require",
    authClient: true,
    ciphers: "",
    protocols: "TLSv1.3",
  });
  expect(readFile!("x")!.toString()).toBe("content of x");
  expect(tlsClientOptions(reading, FILES)).toMatchObject({
    keyPath: "/certs/client.key",
    certPath: "/certs/client.pem",
    trustCertPath: "/certs/ca.pem",
    authServer: true,
  });
});

test.each([
  ["tls.server.mode=strict", "expected permissive or disabled or enforcing"],
  ["tls.server.need.client.auth=maybe", "expected none or optional or require"],
  ["tls.server.authClient=yes", "expected true or false"],
  ["tls.server.keypath=x", "tls.server.keypath is no property of TLS"],
  ["listenPort=1", "listenPort is no property of TLS"],
])("%s in a tls.properties is refused", (line, message) => {
  expect(() => readTlsProperties(line)).toThrow(message);
});

test.each([
  ["", false],
  ["tls.enable=true", true],
  ["useTLS=true", true],
  ["tls.server.mode=enforcing", true],
  ["tls.server.mode=enforcing\ntls.enable=false", false],
  ["tls.server.mode=enforcing\nuseTLS=false", false],
])("%j: TLS with name servers is %s", (text, enabled) => {
  expect(tlsClientOptions(readBrokerConfig(text), FILES) !== undefined).toBe(enabled);
});

test("passwords of keys are not told, and TLS is not changed while the broker runs", () => {
  const config = defaultBrokerConfig({ "tls.server.keyPassword": "hush", "tls.client.keyPassword": "hush" });
  const settings = new BrokerSettings({ config }, new FakeClock());
  expect(settings.format()).toContain("tls.server.mode=permissive");
  expect(settings.format()).not.toMatch(/hush|Password/);
  expect(settings.update(new Map([["tls.server.mode", "disabled"]]))?.kind).toBe("fixed");
  expect(settings.update(new Map([["tls.server.keyPassword", "x"]]))?.kind).toBe("fixed");
});
