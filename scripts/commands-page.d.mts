import type { Command } from "commander";

export function commandsPage(program: Command): string;
