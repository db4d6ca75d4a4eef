/** The types of build.mjs, for the tests that are TypeScript. */
export class JarsUnavailable extends Error {}
export function missingTool(): string | undefined;
export function buildJava(name: "golden" | "filter" | "servers" | "clients" | "clients-grpc"): Promise<string>;
