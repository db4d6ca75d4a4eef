import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const PROGRAM = `
import { failpoint } from "#src/base/failpoint.js";
for (let i = 1; i <= 4; i++) {
  try {
    failpoint("segment-roll");
    failpoint("segment-delete-before");
  } catch (error) {
    console.log(error.code);
  }
  console.log(i);
}`;

function run(failpoint: string | undefined) {
  const { COMETMQ_FAILPOINT: _, ...others } = process.env;
  const env = failpoint === undefined ? others : { ...others, COMETMQ_FAILPOINT: failpoint };
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    cwd: import.meta.dirname,
    env,
    encoding: "utf8",
  });
  return { signal, status, lines: stdout.split("\n").slice(0, -1), stderr };
}

test.each([undefined, "", "segment-delete-after"])("%o strikes nothing here", (failpoint) => {
  expect(run(failpoint)).toMatchObject({ signal: null, status: 0, lines: ["1", "2", "3", "4"] });
});

test("a name kills the first time it is passed, with a count that time", () => {
  expect(run("segment-roll")).toMatchObject({ signal: "SIGKILL", lines: [] });
  expect(run("segment-delete-before=kill")).toMatchObject({ signal: "SIGKILL", lines: [] });
  expect(run("segment-roll:3")).toMatchObject({ signal: "SIGKILL", lines: ["1", "2"] });
});

test("it can throw what the system would, and what nobody expects, and go on with that", () => {
  expect(run("segment-roll:2=EIO")).toMatchObject({ status: 0, lines: ["1", "EIO", "2", "3", "4"] });
  expect(run("segment-roll:3+=ENOSPC")).toMatchObject({ lines: ["1", "2", "ENOSPC", "3", "ENOSPC", "4"] });
  expect(run("segment-roll:3=crash")).toMatchObject({ lines: ["1", "2", "undefined", "3", "4"] });
  expect(run("segment-roll:3=exit")).toMatchObject({ status: 0, lines: ["1", "2"] });
});

test("it can throw instead, once", () => {
  expect(run("segment-roll:2=throw")).toMatchObject({ status: 0, lines: ["1", "COMETMQ_IO", "2", "3", "4"] });
});

test.each(["segment-rol", "segment-roll:", "segment-roll=die", "Segment-roll"])("%s is refused", (failpoint) => {
  const { status, stderr } = run(failpoint);
  expect([status, stderr.includes("COMETMQ_FAILPOINT names a failpoint")]).toEqual([1, true]);
});
