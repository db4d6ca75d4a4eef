/**
 * Joins the modules in dist/ that the `cometmq` command consists of into a few files in dist/command/, so that starting it
 * does not begin with opening four hundred. Packages stay outside. The library's own modules stay as they are.
 */
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const DIST = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "dist");
const COMMAND = path.join(DIST, "command");

rmSync(COMMAND, { recursive: true, force: true });
/** The threads' files keep their names: they are started as neighbours of whoever starts them. */
const THREADS = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith("-worker.js"));
const bundle = await rolldown({
  input: ["cli/main.js", ...THREADS].map((entry) => path.join(DIST, entry)),
  external: (id) => !id.startsWith(".") && !path.isAbsolute(id),
  platform: "node",
});
const names = { entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" };
await bundle.write({ dir: COMMAND, format: "esm", comments: false, ...names });
await bundle.close();
