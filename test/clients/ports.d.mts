/** Types of ports.mjs. */
export function freePort(): Promise<number>;
export function freeBrokerPort(): Promise<number>;
