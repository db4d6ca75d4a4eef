/** The types of grammar.mjs, for the test that is TypeScript. */
export const PARSER_FILE: string;
export function generateParser(): string;
