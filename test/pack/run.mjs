/**
 * Packs the package, installs the tarball into an empty project without install scripts, and uses it there: `npm run
 * test:pack`. Node's other majors come from the registry: `node test/pack/run.mjs 20 22 24`.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..", "..");
const majors = process.argv.slice(2);
const project = mkdtempSync(path.join(tmpdir(), "cometmq-pack-"));
const run = (command, args, cwd = project) =>
  execFileSync(command, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
const install = (...names) =>
  run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", ...names]);

/** Links between pages lead to what is packed, but for those of a page that says itself where it leads. */
function checkLinks(listed) {
  for (const page of listed.filter((name) => name.endsWith(".md"))) {
    const text = readFileSync(path.join(ROOT, page.slice("package/".length)), "utf8");
    if (text.includes("not in the npm package")) continue;
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)];
    const dead = links
      .map(([, link]) => path.posix.join(path.posix.dirname(page), link))
      .filter((link) => !listed.some((name) => name === link || name.startsWith(`${link.replace(/\/$/, "")}/`)));
    if (dead.length > 0) throw new Error(`${page} leads out of the tarball: ${dead.join(" ")}`);
  }
}

try {
  run("npm", ["pack", "--loglevel=error", "--pack-destination", project], ROOT);
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"));
  const listed = run("tar", ["-tf", tarball]).toString();
  const strange = listed.split("\n").filter((name) => /\.map$|\/src\/|\/test\/|\/\.[a-z]/.test(name));
  if (strange.length > 0) throw new Error(`the tarball has what nobody needs: ${strange.join(" ")}`);
  checkLinks(listed.split("\n"));
  writeFileSync(path.join(project, "package.json"), '{ "name": "empty", "private": true, "type": "module" }\n');
  install(`./${tarball}`);
  for (const file of ["smoke.mjs", "types.mts"])
    copyFileSync(path.join(import.meta.dirname, file), path.join(project, file));
  process.stdout.write(run(process.execPath, ["smoke.mjs"]));
  const tsc = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const types = ["--types", "node", "--typeRoots", path.join(ROOT, "node_modules", "@types")];
  const flags = ["--noEmit", "--strict", "--target", "es2023", "--lib", "es2023,esnext.disposable"];
  const resolutions = [
    ["--module", "nodenext"],
    ["--module", "node16"],
    ["--module", "esnext", "--moduleResolution", "bundler"],
  ];
  for (const resolution of resolutions) run(process.execPath, [tsc, ...flags, ...resolution, ...types, "types.mts"]);
  process.stdout.write("types: as promised to nodenext, node16 and bundlers\n");
  for (const major of majors) {
    const name = `node-${process.platform}-${process.arch}`;
    install("--no-save", `${name}@${major}`);
    process.stdout.write(run(path.join(project, "node_modules", name, "bin", "node"), ["smoke.mjs"]));
  }
} finally {
  rmSync(project, { recursive: true });
}
