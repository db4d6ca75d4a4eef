export class ClientUnavailable extends Error {}
export function installNodeProgram(directory: string): Promise<string>;
export function nodeClientModules(): Promise<string>;
