/** The examples do what they say. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { closeAll } from "../server/harness.js";
import { CREDENTIALS, PATIENCE_MS, startServer } from "./harness.js";

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

// The example says nothing of who it is.
test.skipIf(CREDENTIALS !== undefined)(
  "hello-client: one message there and back, and the process ends by itself",
  async () => {
    const run = promisify(execFile);
    const args = [join(EXAMPLES, "hello-client.mjs"), namesrvAddr];
    const { stdout, stderr } = await run(process.execPath, args, { timeout: PATIENCE_MS });
    expect(stderr).toBe("");
    const id = "\\(([0-9A-F]{32,56})\\)";
    const sent = new RegExp(`sent: SEND_OK ${id}`).exec(stdout)?.[1];
    expect(sent).toBeDefined();
    expect(new RegExp(`received hello, world ${id}`).exec(stdout)?.[1]).toBe(sent);
  },
);
