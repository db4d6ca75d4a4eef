/**
 * Versions as they stand in headers and heartbeats: the ordinal of Apache's enum, which lists a snapshot and a release
 * for each patch number of each minor version, after sixteen early names (common/MQVersion.java, release 5.4.0).
 */
const EARLY_NAMES: readonly string[] = [
  "V3_0_0_SNAPSHOT",
  "V3_0_0_ALPHA1",
  "V3_0_0_BETA1",
  "V3_0_0_BETA2",
  "V3_0_0_BETA3",
  "V3_0_0_BETA4",
  "V3_0_0_BETA5",
  "V3_0_0_BETA6_SNAPSHOT",
  "V3_0_0_BETA6",
  "V3_0_0_BETA7_SNAPSHOT",
  "V3_0_0_BETA7",
  "V3_0_0_BETA8_SNAPSHOT",
  "V3_0_0_BETA8",
  "V3_0_0_BETA9_SNAPSHOT",
  "V3_0_0_BETA9",
  "V3_0_0_FINAL",
];

/** Major, minor, first and last patch number. */
const MINORS: readonly (readonly [number, number, number, number])[] = [
  [3, 0, 1, 15],
  [3, 1, 0, 9],
  [3, 2, 0, 9],
  ...[3, 4, 5, 6, 7, 8, 9].map((minor) => [3, minor, 1, 9] as const),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((minor) => [4, minor, 0, 9] as const),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((minor) => [5, minor, 0, 9] as const),
];

function allNames(): string[] {
  const names = [...EARLY_NAMES];
  for (const [major, minor, first, last] of MINORS) {
    for (let patch = first; patch <= last; patch++) {
      const name = `V${major}_${minor}_${patch}`;
      names.push(`${name}_SNAPSHOT`, name);
    }
  }
  names.push("HIGHER_VERSION");
  return names;
}

const versionNames: readonly string[] = allNames();

/** V5_4_0, which this server says it is. */
export const CURRENT_VERSION = 493;

/** `V5_4_0`; HIGHER_VERSION for what lies beyond the table. */
export function versionName(ordinal: number): string {
  return versionNames[ordinal] ?? "HIGHER_VERSION";
}

/** Ordinal of `V5_4_0` or `5.4.0`; undefined when there is no such version. */
export function versionOrdinal(name: string): number | undefined {
  const ordinal = versionNames.indexOf(name.startsWith("V") ? name : `V${name.replaceAll(".", "_")}`);
  return ordinal < 0 ? undefined : ordinal;
}
