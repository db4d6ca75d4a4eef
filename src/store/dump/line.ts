/**
 * A line of a dump: an object with a `type`, written as canonical JSON: members in the order they were put in, without
 * blanks, nothing escaped that need not be. Maps are objects whose member names come from the store's data.
 */
export type LineValue =
  | string
  | number
  | boolean
  | null
  | readonly LineValue[]
  | ReadonlyMap<string, LineValue>
  | { readonly [member: string]: LineValue | undefined };

export interface DumpLine {
  readonly type: string;
  readonly [member: string]: LineValue | undefined;
}

/** Members that are undefined are left out. */
export function canonicalJson(value: LineValue): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = value instanceof Map ? [...value] : Object.entries(value as Record<string, LineValue | undefined>);
  let text = "";
  for (const [name, member] of members) {
    if (member === undefined) continue;
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

function isList(value: object): value is readonly LineValue[] {
  return Array.isArray(value);
}

export function hex32(value: number): string {
  return (value >>> 0).toString(16);
}
