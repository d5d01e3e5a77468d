/**
 * What is known of the functions that are no exports of Node code: Python is asked, in a sandbox; of the others only
 * `aloft.json` and the list of files can say anything before they run.
 */
import type { DeploymentFile, DescribedFunction, HandlerStyle, Program } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { layersFolder } from "../contract/layers.ts";
import type { PlannedProgram } from "../contract/programs.ts";
import type { DescribeRequest, Running } from "../contract/running.ts";

/** `files`: null where they are not known, in the layers of an image. Throws DESCRIBE_FAILED, and what else `Running.describe` throws. */
export async function describePrograms(
  programs: readonly PlannedProgram[],
  files: readonly DeploymentFile[] | null,
  request: DescribeRequest,
  running: Pick<Running, "describe">,
): Promise<DescribedFunction[]> {
  const described = programs
    .filter(({ program }) => program.runtime !== "python")
    .map((planned) => describeUnrun(planned, files));
  const ofPython = programs.filter(({ program }) => program.runtime === "python");
  if (ofPython.length === 0) return described;
  const found = await running.describe({ ...request, entry: "", programs: ofPython });
  const names = new Set(found.map(({ name }) => name));
  const isWhole = names.size === ofPython.length && ofPython.every(({ name }) => names.has(name));
  if (!isWhole)
    throw new AloftError("DESCRIBE_FAILED", "the Python runtime described other functions than it was asked for");
  return [...described, ...found];
}

function describeUnrun({ name, program }: PlannedProgram, files: readonly DeploymentFile[] | null): DescribedFunction {
  if (files !== null) assertProgramThere(name, program, files);
  if (files !== null && program.runtime === "nodejs") assertClientThere(name, files);
  return { name, style: styleOf(program), triggers: [], limits: {} };
}

function styleOf({ runtime }: Program): HandlerStyle {
  return runtime === "command" || runtime === "image" ? "server" : "lambda";
}

/** A program named by a path is one of the files; one named by a word is looked for where the function runs. */
function assertProgramThere(name: string, { runtime, command }: Program, files: readonly DeploymentFile[]): void {
  const path = runtime === "provided" ? "bootstrap" : (command[0] ?? "");
  if (path.startsWith("/") || (runtime !== "provided" && !path.includes("/"))) return;
  const inner = path.replace(/^(?:\.\/+)+/, "");
  const ofLayers = runtime === "provided" ? files.find((one) => one.path === `${layersFolder}/${inner}`) : undefined;
  const file = files.find((one) => one.path === inner) ?? ofLayers;
  if (file === undefined) {
    throw new AloftError("DESCRIBE_FAILED", `the function ${name} starts ${path}, which is not among the app's files`, {
      hint: "name a file of the folder; .aloftignore may leave it out",
    });
  }
  if (file.executable === true) return;
  throw new AloftError("DESCRIBE_FAILED", `the function ${name} starts ${path}, which is not executable`, {
    hint: `make it executable: chmod +x ${inner}`,
  });
}

function assertClientThere(name: string, files: readonly DeploymentFile[]): void {
  const places = ["node_modules", `${layersFolder}/nodejs/node_modules`].map((place) => `${place}/aws-lambda-ric`);
  if (files.some(({ path }) => places.some((place) => path === `${place}/package.json`))) return;
  throw new AloftError("DESCRIBE_FAILED", `the function ${name} needs the package aws-lambda-ric in node_modules`, {
    hint: "npm install aws-lambda-ric, or leave the runtime out: Aloft calls Lambda handlers by itself",
  });
}
