/** Who reaches a port can not fill a disk with lines about him. */
import { afterEach, expect, test } from "vitest";
import { StrangerLog } from "#src/remoting/stranger-log.js";
import { HandClock, LineLog } from "./peers.js";
import { closeTls, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

test("a hundred warnings a minute are written, the rest is counted", () => {
  const [clock, lines] = [new HandClock(), new LineLog()];
  const log = new StrangerLog(lines, clock);
  for (let i = 0; i < 150; i++) log.warn({}, "a stranger");
  log.error({}, "an error");
  log.info({}, "news");
  log.debug({}, "details");
  expect([lines.count("warn a stranger"), lines.lines.length]).toEqual([100, 103]);
  clock.advance(59_999);
  log.warn({}, "a stranger");
  expect(lines.lines.length).toBe(103);
  clock.advance(1);
  expect(lines.lines.at(-1)).toMatch(/^warn clients were cut off beyond the 100/);
  log.warn({}, "the next minute's");
  expect(lines.lines.at(-1)).toBe("warn the next minute's");
  clock.advance(600_000);
  expect(lines.lines.length).toBe(105);
  expect(clock.scheduledCount).toBe(0);
});

test("a server says so of strangers at its port, and of malformed PROXY headers", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen({}, { clock, idleMsMax: 0 });
  for (let i = 0; i < 60; i++) {
    for (const bytes of ["SSH-2.0-OpenSSH_9.2\r\n", "PROXY x\r\n"]) {
      const peer = await fixture.plain();
      peer.socket.write(bytes);
      await peer.closed;
    }
  }
  expect(fixture.log.lines.filter((line) => line.startsWith("warn"))).toHaveLength(100);
  clock.advance(60_000);
  expect(fixture.log.count("warn clients were cut off")).toBe(1);
});
