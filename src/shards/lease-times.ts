/** How a node's lease on a shared store is timed; each is less than the next so that a slow node stops before others begin. */

/** A lease row is renewed this often. */
export const renewMs = 3_000;
/** A node that could not renew for this long stops its owned work (rule 9): 3 s before anyone else may begin it. */
export const stalledMs = 7_000;
/** Unchanged for this long in the eyes of another node: dead. */
export const leaseMs = 10_000;
