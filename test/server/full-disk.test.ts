/** What clients hear of a disk that is full; the store's own part is in test/unit/store. */
import { afterEach, expect, test, vi } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { bodiesOf, closeAll, pull, send, startBroker } from "./harness.js";

afterEach(closeAll);

class FullDisk extends MemoryDisk {
  full = false;

  override createSegment(path: string, sizeBytes: number): void {
    if (this.full)
      throw new CometError("COMETMQ_DISK_FULL", `No space left to reserve ${sizeBytes} bytes for ${path}.`);
    super.createSegment(path, sizeBytes);
  }
}

test("senders are told to go elsewhere, readers are served, and sending resumes with the room", async () => {
  const disk = new FullDisk();
  const started = await startBroker({ disk, config: { mappedFileSizeCommitLog: 64 * 1024 } });
  const client = started.client();
  const body = "x".repeat(30_000);
  disk.full = true;
  const codes: number[] = [];
  for (let i = 0; i < 30; i++) {
    const answer = await send(client, {}, body);
    codes.push(answer.code);
    if (answer.code !== ResponseCode.SUCCESS) {
      expect(answer.remark).toBe("service not available now: the broker's disk is full.");
    }
  }
  const taken = codes.filter((code) => code === ResponseCode.SUCCESS).length;
  expect(taken).toBeGreaterThanOrEqual(2);
  expect(codes.slice(taken)).toEqual(Array(30 - taken).fill(ResponseCode.SERVICE_NOT_AVAILABLE));
  expect(bodiesOf(await pull(client, { maxMsgBytes: 10_000_000 }))[0]).toBe(body);
  expect(started.broker.store.failure).toBeUndefined();
  disk.full = false;
  // The disk is asked again about once a second.
  const resumed = await vi.waitUntil(
    async () => {
      const answer = await send(client, {}, "resumed");
      return answer.code === ResponseCode.SUCCESS ? answer : undefined;
    },
    { timeout: 30_000, interval: 50 },
  );
  expect(resumed.fields).toMatchObject({ queueOffset: String(taken) });
  await started.broker.store.settled();
  expect(bodiesOf(await pull(client, { queueOffset: taken }))).toEqual(["resumed"]);
});
