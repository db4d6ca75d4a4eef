/** Files of tests that share a process share no helper's state: each file has its helpers, and their hooks, anew. */
import { vi } from "vitest";

vi.resetModules();
