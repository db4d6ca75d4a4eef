/** The language a peer says it is written in: its name in JSON headers, one byte in binary ones (LanguageCode.java). */
export const LanguageCode = {
  JAVA: 0,
  CPP: 1,
  DOTNET: 2,
  PYTHON: 3,
  DELPHI: 4,
  ERLANG: 5,
  RUBY: 6,
  OTHER: 7,
  HTTP: 8,
  GO: 9,
  PHP: 10,
  OMS: 11,
  RUST: 12,
  NODE_JS: 13,
} as const;
export type LanguageCode = (typeof LanguageCode)[keyof typeof LanguageCode];

const names: readonly string[] = Object.keys(LanguageCode);
const codes = new Map<string, number>(Object.entries(LanguageCode));

/** OTHER for a code that Apache does not know. */
export function languageName(code: number): string {
  return names[code] ?? "OTHER";
}

/** OTHER for a name that Apache does not know. */
export function languageCode(name: string): number {
  return codes.get(name) ?? LanguageCode.OTHER;
}
