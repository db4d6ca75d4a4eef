/** What a condition comes to: Java's Boolean.TRUE, Boolean.FALSE and null, and that evaluating it threw. */
export const Truth = { FALSE: 0, TRUE: 1, NULL: 2, ERROR: 3 } as const;
export type Truth = (typeof Truth)[keyof typeof Truth];

/** A condition over the record whose properties were scanned last. */
export type Condition = (bytes: Buffer) => Truth;
