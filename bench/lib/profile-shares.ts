/** A profile as shares of its busy time by part of the code. */
import type { CpuProfile } from "./profiler.ts";

export interface Share {
  readonly part: string;
  /** Of the time that was not idle. */
  readonly fraction: number;
}

/** Largest first. */
export function sharesOf(profile: CpuProfile): Share[] {
  const partOfNode = new Map(
    profile.nodes.map(({ id, callFrame }) => [id, partOf(callFrame.functionName, callFrame.url)]),
  );
  const usOfPart = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const part = partOfNode.get(id) ?? "unknown";
    // The delta before a sample is the time since the last one, which is nearest to this one's own.
    usOfPart.set(part, (usOfPart.get(part) ?? 0) + Math.max(0, profile.timeDeltas[index] ?? 0));
  }
  usOfPart.delete("idle");
  const totalUs = [...usOfPart.values()].reduce((sum, us) => sum + us, 0);
  return [...usOfPart]
    .map(([part, us]) => ({ part, fraction: us / totalUs }))
    .toSorted((a, b) => b.fraction - a.fraction);
}

/** A room or folder of Aloft, a module of Node, a package, or what V8 says of time outside of JavaScript. */
export function partOf(functionName: string, url: string): string {
  if (functionName === "(idle)") return "idle";
  if (functionName === "(garbage collector)") return "collector";
  if (functionName === "(program)" || functionName === "(root)") return "native";
  if (url.startsWith("node:")) return url;
  const dependency = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (dependency !== undefined) return dependency;
  const room = /\/(src\/(?:doors\/http|[^/]+)|guest(?:\/[^/]+)?|bench|deployments)\//.exec(url)?.[1];
  if (room !== undefined) return room;
  return url === "" ? `native ${functionName}` : (url.split("/").at(-1) ?? url);
}
