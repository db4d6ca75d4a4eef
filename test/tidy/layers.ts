/**
 * Who may import whom in src/: the shape of the whole product. Before you change a line here, think of the other way
 * (move the shared piece down, pass it in as an argument), and if the line must change, say why in the commit.
 */

const STORE = ["base", "io", "record", "commitlog", "consumequeue", "index", "dispatch", "recovery"];

/** Folder of src/ → the folders it may import from, besides itself. `.` is what lies in src/ directly (mod.ts). */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  io: ["base"],
  record: ["base"],
  filter: ["base", "record"],
  commitlog: ["base", "io", "record"],
  consumequeue: ["base", "io", "record"],
  index: ["base", "io", "record"],
  dispatch: ["base", "io", "record", "commitlog", "consumequeue", "index"],
  recovery: ["base", "io", "record", "commitlog", "consumequeue", "index", "dispatch"],
  store: STORE,
  remoting: ["base", "record"],
  client: ["base", "io", "record", "remoting"],
  http2: ["base", "remoting"],
  grpc: ["base", "remoting", "http2"],
  server: [...STORE, "filter", "store", "remoting", "grpc"],
  testing: [...STORE, "store", "remoting", "server"],
  cli: [...STORE, "store", "remoting", "grpc", "server"],
  ".": [...STORE, "filter", "store", "remoting", "grpc", "server"],
};

/** Modules that only some folders may import, for a seam is only a seam while nothing goes around it. */
export const RESTRICTED: readonly { modules: RegExp; folders: readonly string[] }[] = [
  { modules: /^(node:)?fs(\/promises)?$|^(koffi|mmap-io|@riaskov\/mmap-io)$/, folders: ["io"] },
  { modules: /^(node:)?(net|tls)$/, folders: ["io", "remoting", "http2", "grpc"] },
  { modules: /^protobufjs$/, folders: ["grpc"] },
  { modules: /^(node:)?http2$/, folders: [] },
];

/** Where the program begins. What a chain of imports, or of `new URL("./worker.js", import.meta.url)`, does not reach is dead. */
export const ENTRIES: readonly string[] = [
  "src/mod.ts",
  "src/store/mod.ts",
  "src/client/mod.ts",
  "src/testing/mod.ts",
  "src/cli/main.ts",
];

/** One line for each place that may break a rule, and why. A line that nothing needs any more fails too. */
export const EXCEPTIONS: readonly { rule: string; path: string; reason: string }[] = [
  { rule: "file-length", path: "src/filter/selector-parser.ts", reason: "made by Peggy of selector.peggy" },
  { rule: "function-length", path: "src/filter/selector-parser.ts", reason: "made by Peggy of selector.peggy" },
];
