/**
 * Joins the modules in dist/ into a few files, so that starting does not begin with opening four hundred: the `cometmq`
 * command in dist/command/, the library's entries in dist/library/. The entries share their chunks, so a class is the same
 * whichever entry it came by. Packages stay outside; the modules stay as they are, for this repository's tests.
 */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const DIST = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "dist");
const COMMAND = path.join(DIST, "command");
const LIBRARY = path.join(DIST, "library");

for (const made of [COMMAND, LIBRARY]) rmSync(made, { recursive: true, force: true });
/** The threads' files keep their names: they are started as neighbours of whoever starts them. */
const THREADS = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith("-worker.js"));

await join(COMMAND, { main: "cli/main.js" }, THREADS);
const entries = { cometmq: "mod.js", store: "store/mod.js", client: "client/mod.js", testing: "testing/mod.js" };
const ofCommand = (file) => file.startsWith(`cli${path.sep}`);
await join(
  LIBRARY,
  entries,
  THREADS.filter((file) => !ofCommand(file)),
);

async function join(dir, named, threads) {
  const input = Object.fromEntries([
    ...Object.entries(named),
    ...threads.map((file) => [path.basename(file, ".js"), file]),
  ]);
  for (const name of Object.keys(input)) input[name] = path.join(DIST, input[name]);
  const bundle = await rolldown({
    input,
    external: (id) => !id.startsWith(".") && !path.isAbsolute(id),
    platform: "node",
  });
  const names = { entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" };
  await bundle.write({ dir, format: "esm", comments: false, ...names });
  await bundle.close();
}
