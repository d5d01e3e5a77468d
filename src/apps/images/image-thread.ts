/** Unpacks layers and puts roots together away from the server's thread: gigabytes of small synchronous file calls. */
import { parentPort } from "node:worker_threads";
import { AloftError } from "../../contract/errors.ts";
import type { FromImageThread, ToImageThread } from "./image-messages.ts";
import { unpackLayer } from "./layer-unpacker.ts";
import { mergeLayers } from "./root-merger.ts";

const port = parentPort;
if (port === null) throw new Error("images are unpacked in a worker thread only");

port.on("message", (message: ToImageThread) => void work(message).then((answer) => port.postMessage(answer, [])));

async function work(message: ToImageThread): Promise<FromImageThread> {
  try {
    if (message.kind === "unpack") return { kind: "unpacked", notes: await unpackLayer(message) };
    mergeLayers(message);
    return { kind: "merged" };
  } catch (error) {
    if (error instanceof AloftError) {
      return { kind: "refused", code: error.code, message: error.message, hint: error.hint };
    }
    const { code, message: text, stack } = error as NodeJS.ErrnoException;
    return { kind: "failed", errno: code, message: text, stack: stack ?? "" };
  }
}
