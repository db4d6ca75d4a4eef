/**
 * Micro-benchmarks of the storage engine, on one thread and on a real disk: `npm run bench`. Figures are operations per
 * second of this process on this machine; bench/results/ gets them as JSON and as charts.
 *
 *   append   CommitLog.append of 128 B, 1 KB and 4 KB bodies with properties built for each, pages warm
 *   put      MessageStore.put of 1 KB bodies, dispatch running on the other thread
 *   get      MessageStore.get of 32 messages of 1 KB in queue order: without a copy, and copied as a broker sends them
 */
import path from "node:path";
import { fileURLToPath } from "node:url";
import benny from "benny";
import { filledStore, WarmLog, workDirectory } from "./fixture.mjs";

const RESULTS = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "results");
const only = process.argv[2];
const directory = workDirectory();

function suite(name, ...cases) {
  if (only !== undefined && only !== name) return undefined;
  const save = ["json", "chart.html"].map((format) => benny.save({ file: `micro-${name}`, folder: RESULTS, format }));
  return benny.suite(name, ...cases, benny.cycle(), benny.complete(), ...save);
}

function appendCase(bodyBytes) {
  return benny.add(`append ${bodyBytes} B`, () => {
    const log = new WarmLog(`${directory}`, 1, bodyBytes);
    log.warm();
    return () => log.append();
  });
}

function* inTurn(queues) {
  for (;;) yield* queues;
}

/** Reads queue after queue from its first message to its last, round and round. */
function reader(store, queues, use) {
  const result = { records: [], queueOffsets: [] };
  const limits = { maxCount: 32, maxBytes: 262144 };
  const turn = inTurn(queues);
  let queue = turn.next().value;
  let offset = 0;
  return () => {
    if (store.get(queue, offset, limits, undefined, result) !== 0) {
      queue = turn.next().value;
      offset = 0;
      store.get(queue, offset, limits, undefined, result);
    }
    offset = result.nextBeginOffset;
    use(result);
  };
}

await suite("append", appendCase(128), appendCase(1024), appendCase(4096));

if (only === undefined || only === "put" || only === "get") {
  const { store, queues, messages } = await filledStore(`${directory}/store`, 400_000, 1024);
  await suite(
    "put",
    benny.add("put 1024 B", async () => {
      await store.settled();
      return () => {
        if (store.put(messages.next(), messages.result) !== 0) throw new Error("the put failed");
      };
    }),
  );
  await store.settled();
  const target = Buffer.alloc(512 * 1024);
  const copy = ({ records }) => {
    let at = 0;
    for (const record of records) {
      target.set(record, at);
      at += record.length;
    }
  };
  await suite(
    "get",
    benny.add("get 32 x 1024 B, no copy", () => reader(store, queues, () => {})),
    benny.add("get 32 x 1024 B, copied", () => reader(store, queues, copy)),
  );
  await store.close();
}
