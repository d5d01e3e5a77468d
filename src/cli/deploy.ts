/** `aloft deploy` */
import { resolve } from "node:path";
import { formatBytes } from "../lib/sizes.ts";
import type { ControlClient } from "./client.ts";
import type { Context } from "./command.ts";
import { deployBundle } from "./deploying.ts";
import type { Deployable, DeployOutcome, UploadProgress } from "./deploying.ts";
import { deployedText, printFunctions } from "./formatting.ts";
import { aliasOf } from "./targets.ts";
import type { Terminal } from "./terminal.ts";

export async function run({ words, flags, json, terminal, folder, client: openClient }: Context): Promise<number> {
  const startedAtMs = performance.now();
  const alias = aliasOf(flags);
  // An address that is none is refused before any work is done.
  const client = await openClient();
  const [dir] = words;
  const image = flags.text("image");
  const send = async (bundle: Deployable): Promise<DeployOutcome> =>
    await deployBundle(client, bundle, alias, (progress) => showProgress(progress, terminal));
  let outcome: DeployOutcome;
  if (image === undefined) {
    const { bundleApp } = await import("../build/bundle.ts");
    const onWarning = (warning: string): void => terminal.note(`${terminal.paintNote("yellow", "warning")} ${warning}`);
    outcome = await send(await bundleApp({ dir: resolve(folder, dir ?? "."), onWarning }));
  } else {
    outcome = await deployImage(resolve(folder, image), dir === undefined ? null : resolve(folder, dir), client, send);
  }
  terminal.progress("");
  const tookMs = Math.round(performance.now() - startedAtMs);
  if (json) {
    const { files, bytes } = outcome.uploaded;
    terminal.printJson({ ...outcome.deployed, uploaded: { files, bytes }, tookMs });
  } else {
    printOutcome(outcome, tookMs, terminal);
  }
  return 0;
}

/** The server is asked first what it is: an archive may hold the image for several kinds of machines. */
async function deployImage(
  image: string,
  dir: string | null,
  client: ControlClient,
  send: (bundle: Deployable) => Promise<DeployOutcome>,
): Promise<DeployOutcome> {
  const [{ bundleImage }, { architecture }] = await Promise.all([
    import("../build/images/image-bundle.ts"),
    client.status(),
  ]);
  const bundle = await bundleImage({ image, dir, architecture });
  try {
    return await send(bundle);
  } finally {
    await bundle.close();
  }
}

function showProgress({ files, filesTotal, bytes, bytesTotal }: UploadProgress, terminal: Terminal): void {
  if (files === filesTotal) terminal.progress("making it live ...");
  else
    terminal.progress(`uploading ${files} of ${filesTotal} files, ${formatBytes(bytes)} of ${formatBytes(bytesTotal)}`);
}

function printOutcome({ deployed, uploaded }: DeployOutcome, tookMs: number, terminal: Terminal): void {
  const { paint } = terminal;
  const what = deployed.changed ? paint("green", "deployed") : paint("yellow", "unchanged");
  const sent =
    uploaded.files === 0 ? "nothing to upload" : `${uploaded.files} files uploaded, ${formatBytes(uploaded.bytes)}`;
  terminal.print(`${what} ${deployedText(deployed, paint)} in ${tookMs} ms (${sent})`);
  printFunctions(deployed.functions, terminal);
  const [url] = deployed.urls;
  if (url !== undefined) terminal.print(`live at ${paint("cyan", url)}`);
}
