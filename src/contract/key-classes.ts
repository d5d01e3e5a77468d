/**
 * The first element of every key. What lives long and what comes and goes stand apart by it, so that a driver may keep tables of
 * their own for them.
 */
export const keyClasses = {
  /** Apps, deployments, aliases, variables: `apps/meta/`. */
  apps: "apps",
} as const;
