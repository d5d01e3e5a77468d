/**
 * The program of an image: the node has started it in a container of its own, which shares this one's network, and ends
 * both when it ends. Here it is only spoken to.
 */
import type { Assign, AssignProgram } from "../../src/wire/messages.ts";
import type { LoadedFunction } from "../node/loaded-function.ts";
import { httpFunction, readyMs } from "./http-mode.ts";
import { untilReady } from "./listening.ts";

export async function startImageProgram(_assign: Assign, program: AssignProgram): Promise<LoadedFunction> {
  const { image } = program;
  if (image === undefined) throw new Error("no image was assigned");
  // Its end is the end of this process as well: nobody waits here for longer than that.
  const ended = new Promise<never>(() => {});
  const addresses = [{ host: "127.0.0.1", port: image.port }];
  const address = await untilReady({ addresses, path: program.ready, withinMs: readyMs, ended });
  return httpFunction(address, { ended, end: null });
}
