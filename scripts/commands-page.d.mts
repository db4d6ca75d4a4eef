import type { Command } from "commander";

export function commandsPage(program: Command, examples: Readonly<Record<string, readonly string[]>>): string;
