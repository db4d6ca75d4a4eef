#!/usr/bin/env node
/**
 * The `cometmq` command. In a clone that was never built it sets the clone up first; a package brings its dist/. What is
 * run is the bundle, unless the modules it was made of have been compiled anew since.
 */
import { existsSync, statSync } from "node:fs";

const main = new URL("../dist/cli/main.js", import.meta.url);
const bundled = new URL("../dist/command/main.js", import.meta.url);
const setup = new URL("../scripts/setup.mjs", import.meta.url);

const modifiedMs = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (!existsSync(main) && existsSync(setup)) await (await import(setup.href)).setUp();
await import(modifiedMs(bundled) >= modifiedMs(main) ? bundled.href : main.href);
