/** Types of message-input.mjs. */
import type { MessageInput, QueueHandle } from "#src/store/types.js";

export function messageInput(queue: QueueHandle, body: Buffer, properties?: Buffer): MessageInput;
