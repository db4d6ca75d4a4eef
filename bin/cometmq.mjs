#!/usr/bin/env node
/** The `cometmq` command. In a clone that was never built it sets the clone up first; a package brings its dist/. */
import { existsSync } from "node:fs";

const main = new URL("../dist/cli/main.js", import.meta.url);
const setup = new URL("../scripts/setup.mjs", import.meta.url);

if (!existsSync(main) && existsSync(setup)) await (await import(setup.href)).setUp();
await import(main.href);
