/**
 * The shape of `aloft.json`. From it come the validation (`app-config.ts`) and the published JSON Schema
 * (`docs/aloft.schema.json`, written by `scripts/schema.ts`), so it only checks and transforms nothing. Every message is
 * the rest of a sentence that begins with the path of the value.
 */
import * as v from "valibot";
import { nearestWord } from "../lib/edit-distance.ts";
import { formatDuration, parseDurationMs } from "../lib/durations.ts";
import { parseBytes } from "../lib/sizes.ts";
import { AloftError } from "./errors.ts";
import { functionLimits, limits } from "./limits.ts";
import type { Range } from "./limits.ts";
import { isAppName, isDomainName, isFunctionName, isPackageName, isReservedVariable, isVariableName } from "./names.ts";
import { networkHostFault } from "./network.ts";
import { parseRoute } from "./route.ts";

const MiB = 1024 * 1024;
const networkChoices = '"none", "internet" or a list of hosts';
const triggerKinds = ["http", "queue", "stream", "cron", "blob"] as const;
const twoMemories = "has both memory and memoryMiB; one is allowed";

const limitEntries = {
  memoryMiB: v.exactOptional(
    v.pipe(wholeNumber(functionLimits.memoryMiB, " of MiB"), v.description("Memory of an instance in MiB.")),
  ),
  memory: v.exactOptional(
    v.pipe(
      sizeInMiB(functionLimits.memoryMiB),
      v.description('Memory of an instance with its unit, such as "512MiB".'),
    ),
  ),
  timeout: v.exactOptional(
    v.pipe(
      duration(functionLimits.timeoutMs),
      v.description("For http from the request to the head of the answer, 30s unless told; for others the call, 60s."),
    ),
  ),
  concurrency: v.exactOptional(
    v.pipe(
      wholeNumber(functionLimits.concurrency, ""),
      v.description("Requests at once in one instance. A Lambda handler always takes one."),
    ),
  ),
  minInstances: v.exactOptional(
    v.pipe(wholeNumber(functionLimits.minInstances, ""), v.description("Instances that are kept when nothing calls.")),
  ),
  maxInstances: v.exactOptional(
    v.pipe(wholeNumber(functionLimits.maxInstances, ""), v.description("Instances at the most.")),
  ),
  keepAlive: v.exactOptional(
    v.pipe(duration(functionLimits.keepAliveMs), v.description("How long an idle instance is kept.")),
  ),
};

/** How a function is run that is no export of Node code. */
const programEntries = {
  runtime: v.exactOptional(
    v.pipe(
      v.picklist(
        ["node", "nodejs", "python", "provided", "command"],
        expected('"node", "nodejs", "python", "provided" or "command"'),
      ),
      v.description("What runs the code; node unless told, or unless the folder plainly says otherwise."),
    ),
  ),
  handler: v.exactOptional(
    v.pipe(text('a handler such as "app.handler"', isHandler), v.description("What is called: module.function.")),
  ),
  command: v.exactOptional(
    v.pipe(
      v.array(text("a text of 1 to 4096 characters", isArgument), expected('a list such as ["node", "server.js"]')),
      v.minLength(1, expected('a list such as ["node", "server.js"]')),
      v.maxLength(100, "has more than 100 items"),
      v.description("The program of the runtime command, which listens on $PORT, and its arguments."),
    ),
  ),
  ready: v.exactOptional(
    v.pipe(
      text('a path such as "/health"', isReadyPath),
      v.description("Path that answers with a status below 400 once the program is ready."),
    ),
  ),
};

const resourceName = `a text of 1 to ${limits.resourceNameChars} characters`;

const triggerSchema = v.pipe(
  strict({
    http: v.exactOptional(
      v.pipe(
        v.string(expected('a route such as "POST /resize"')),
        v.check(isRoute, (issue) => routeFault(issue.input)),
        v.description('A route: "METHOD /path", or only the path for every method.'),
      ),
    ),
    queue: v.exactOptional(v.pipe(text(resourceName, isResourceName), v.description("Name of a queue to consume."))),
    stream: v.exactOptional(v.pipe(text(resourceName, isResourceName), v.description("Name of a stream to consume."))),
    cron: v.exactOptional(
      v.pipe(text('a schedule such as "0 3 * * *"', isResourceName), v.description("When to call the function.")),
    ),
    blob: v.exactOptional(
      v.pipe(text(resourceName, isResourceName), v.description("Name of a blob store whose changes are told.")),
    ),
    options: v.exactOptional(
      v.pipe(
        v.record(v.string(), v.unknown(), expected("an object")),
        v.description("Options of the queue, stream, cron or blob trigger, as its page in docs/ lists them."),
      ),
    ),
  }),
  v.check(
    (trigger) => triggerKinds.filter((kind) => trigger[kind] !== undefined).length === 1,
    `must have exactly one of ${inWords(triggerKinds)}`,
  ),
);

const functionSchema = strict({
  ...programEntries,
  ...limitEntries,
  triggers: v.exactOptional(
    v.pipe(
      v.array(triggerSchema, expected("a list of triggers")),
      v.description("What calls the function, beside what its code says."),
    ),
  ),
});

export const appConfigSchema = v.pipe(
  strict({
    $schema: v.exactOptional(v.pipe(v.string(expected("a text")), v.description("For editors; Aloft ignores it."))),
    name: v.exactOptional(
      v.pipe(
        text("lower-case letters, digits and single hyphens, at most 63 characters", isAppName),
        v.description("Name of the app; the folder's unless told."),
      ),
    ),
    entry: v.exactOptional(
      v.pipe(
        text("a path inside the folder", isInnerPath),
        v.description("Path of the file that exports the functions."),
      ),
    ),
    ...programEntries,
    domains: v.exactOptional(
      v.pipe(
        listOf("host names", text("a host name in lower case such as shop.example.com", isDomainName)),
        v.description("Host names that the app answers to."),
      ),
    ),
    network: v.exactOptional(
      v.pipe(
        v.union([v.picklist(["none", "internet"]), networkHosts()], expected(networkChoices)),
        v.description(
          'What functions may reach: "none", "internet" (all public addresses, unless told), or a list of hosts such as ' +
            '"api.example.com", "*.example.com:443" or "10.1.0.0/16:5432".',
        ),
      ),
    ),
    variables: v.exactOptional(
      v.pipe(
        listOf(
          "names of variables",
          text("letters, digits and _, and not ALOFT_*, AWS_LAMBDA_* or LD_*", isFreeVariable),
        ),
        v.description("Names of variables that must be set before the app goes live."),
      ),
    ),
    external: v.exactOptional(
      v.pipe(
        listOf("names of npm packages", text("the name of an npm package", isPackageName)),
        v.description("npm packages to carry as files instead of bundling them."),
      ),
    ),
    files: v.exactOptional(
      v.pipe(
        listOf("paths or patterns", text("a path or pattern inside the folder such as data/*.csv", isInnerPath)),
        v.description("Files and folders to carry beside the code."),
      ),
    ),
    layers: v.exactOptional(
      v.pipe(
        listOf("paths", text("a path inside the folder such as layers/tools.zip", isInnerPath)),
        v.description("Zip archives and folders that functions find in /opt, one above the other."),
      ),
    ),
    defaults: v.exactOptional(
      v.pipe(
        strict(limitEntries),
        v.check((limits) => hasOneMemory(limits), twoMemories),
        v.description("Limits of all functions; the entry of one of them says otherwise."),
      ),
    ),
    functions: v.exactOptional(
      v.pipe(
        v.record(
          text("letters, digits, _, $ and single hyphens, at most 64 characters", isFunctionName),
          v.pipe(
            functionSchema,
            v.check((limits) => hasOneMemory(limits), twoMemories),
          ),
          expected("an object with the names of functions"),
        ),
        v.description("What the code does not say about its functions, by their names."),
      ),
    ),
  }),
  v.title("aloft.json"),
  v.description("What code cannot say about an Aloft app. Comments and trailing commas are allowed."),
);

export type AppConfigJson = v.InferOutput<typeof appConfigSchema>;
export type LimitsJson = NonNullable<AppConfigJson["defaults"]>;
export type TriggerJson = NonNullable<NonNullable<AppConfigJson["functions"]>[string]["triggers"]>[number];
export type ProgramJson = { [Key in keyof typeof programEntries]?: AppConfigJson[Key] | undefined };

function isResourceName(text: string): boolean {
  return text !== "" && text.length <= limits.resourceNameChars && text.isWellFormed();
}

/** Whole MiB, rounded up. */
export function memoryMiBOf(size: string): number {
  return Math.ceil((parseBytes(size) ?? 0) / MiB);
}

/** An object with these keys and no others. */
function strict<const Entries extends v.ObjectEntries>(
  entries: Entries,
): v.StrictObjectSchema<Entries, v.ErrorMessage<v.StrictObjectIssue>> {
  const keys = Object.keys(entries);
  return v.strictObject(entries, (issue) => {
    if (issue.expected === "never") return unknownKey(JSON.parse(issue.received) as string, keys);
    if (issue.expected === "Object")
      return `${issue.received} is not allowed; allowed is an object with ${inWords(keys)}`;
    return `${issue.expected} is missing`;
  });
}

function unknownKey(key: string, keys: readonly string[]): string {
  const nearest = nearestWord(key, keys);
  return nearest === null ? `unknown key; allowed: ${inWords(keys)}` : `unknown key; did you mean "${nearest}"?`;
}

function hasOneMemory(limits: { readonly memory?: string; readonly memoryMiB?: number }): boolean {
  return limits.memory === undefined || limits.memoryMiB === undefined;
}

function networkHosts() {
  const host = v.pipe(
    v.string(expected("a host")),
    v.check(
      (text) => networkHostFault(text) === "",
      (issue) => `${shortened(issue.received)} ${networkHostFault(issue.input)}`,
    ),
  );
  const most = limits.networkHosts;
  return v.pipe(
    v.array(host, expected(networkChoices)),
    v.maxLength(most, (issue) => `${issue.input.length} hosts are not allowed; allowed are ${most}`),
  );
}

function listOf<Item extends v.GenericSchema<string>>(what: string, item: Item) {
  return v.array(item, expected(`a list of ${what}`));
}

function text(allowed: string, isAllowed: (text: string) => boolean) {
  return v.pipe(v.string(expected(allowed)), v.check(isAllowed, expected(allowed)));
}

function wholeNumber(range: Range, unit: string) {
  const message = expected(`a whole number${unit} from ${range.min} to ${range.max}`);
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(range.min, message),
    v.maxValue(range.max, message),
    v.metadata({ default: range.standard }),
  );
}

function sizeInMiB(range: Range) {
  const message = expected(`a size from ${range.min}MiB to ${range.max / 1024}GiB such as "512MiB"`);
  return v.pipe(
    v.string(message),
    v.regex(/^\d+(\.\d+)? ?([KMGkmg]i?[Bb])$/, message),
    v.check((size) => memoryMiBOf(size) >= range.min && memoryMiBOf(size) <= range.max, message),
  );
}

function duration(range: Range) {
  const message = expected(
    `a duration from ${formatDuration(range.min)} to ${formatDuration(range.max)} such as "20s"`,
  );
  return v.pipe(
    v.string(message),
    v.regex(/^\d+(\.\d+)?(ms|s|m|h)$/, message),
    v.check((text) => isWithin(parseDurationMs(text), range), message),
  );
}

function isWithin(value: number | null, range: Range): boolean {
  return value !== null && value >= range.min && value <= range.max;
}

function expected(allowed: string): (issue: { readonly received: string }) => string {
  return (issue) => `${shortened(issue.received)} is not allowed; allowed is ${allowed}`;
}

function shortened(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

function isRoute(route: string): boolean {
  return routeFault(route) === "";
}

function routeFault(route: string): string {
  try {
    parseRoute(route);
    return "";
  } catch (thrown) {
    if (thrown instanceof AloftError) return `${thrown.message}; ${thrown.hint ?? ""}`;
    throw thrown;
  }
}

/** Relative, with / between its parts, and never leading out of the folder. */
function isInnerPath(path: string): boolean {
  if (path === "" || path.length > 1024 || /[\\\p{Cc}]/u.test(path) || /^(?:\/|[A-Za-z]:)/.test(path)) return false;
  return !path.split("/").includes("..");
}

/** `module.function`, `folder/module.function`, `module:app` or a bare module; what it means is the runtime's affair. */
function isHandler(handler: string): boolean {
  return handler.length <= 256 && /^[\w$@][\w$@./:-]*$/.test(handler) && !handler.split("/").includes("..");
}

function isArgument(argument: string): boolean {
  return argument !== "" && argument.length <= 4096 && !argument.includes("\0");
}

function isReadyPath(path: string): boolean {
  return path.length <= 1024 && /^\/[\x21-\x7e]*$/.test(path);
}

function isFreeVariable(name: string): boolean {
  return isVariableName(name) && !isReservedVariable(name);
}

function inWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
