/** CPU and memory of a server on this machine, from /proc. */
import { FileDisk } from "../../io/file-disk.js";

/** Linux gives utime and stime to programs in hundredths of a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU of all threads of a process, those that ended included, and its memory now. */
export interface ServerUsage {
  readonly cpuSeconds: number;
  readonly rssMB: number;
  /** Without pages of files, so without the store's own maps. */
  readonly rssAnonMB: number;
}

/** Undefined where no such process runs any more, or /proc is not there. */
export function serverUsage(pid: number): ServerUsage | undefined {
  const disk = new FileDisk("file");
  const stat = disk.readFile(`/proc/${pid}/stat`)?.toString("latin1");
  const status = disk.readFile(`/proc/${pid}/status`)?.toString("latin1");
  if (stat === undefined || status === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    rssMB: megabytes(status, "VmRSS"),
    rssAnonMB: megabytes(status, "RssAnon"),
  };
}

function megabytes(status: string, name: string): number {
  const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status) ?? [];
  return Math.round(Number(kilobytes ?? 0) / 102.4) / 10;
}
