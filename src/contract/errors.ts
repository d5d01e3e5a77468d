/**
 * Every error that leaves a room. One row a code; `docs/errors.md` lists the same rows and a test holds them together.
 *
 * `fault` says whose doing it is, and nothing may blur it: `caller` (the request or the command is wrong), `app` (the
 * user's code or its configuration failed), `platform` (Aloft or the machine failed, or is at a limit).
 * `status` is the HTTP status where the error can reach a caller.
 */
export type Fault = "caller" | "app" | "platform";

export interface ErrorRow {
  readonly status: number;
  readonly fault: Fault;
  /** What the code means in one sentence; the thrown error says the particulars. */
  readonly about: string;
}

function row(status: number, fault: Fault, about: string): ErrorRow {
  return { status, fault, about };
}

export const errorTable = {
  // --- requests
  APP_NOT_FOUND: row(404, "caller", "no app answers to this host name or has this name"),
  ROUTE_NOT_FOUND: row(404, "caller", "the app has no route for this path"),
  METHOD_NOT_ALLOWED: row(405, "caller", "the path exists, but not for this method"),
  FUNCTION_NOT_FOUND: row(404, "caller", "the app has no function of this name"),
  BODY_TOO_LARGE: row(413, "caller", "the request body is over the limit"),
  REQUEST_INVALID: row(400, "caller", "the request is not what this address accepts"),
  REQUEST_TIMEOUT: row(408, "caller", "the request did not arrive in time"),
  HEADERS_TOO_LARGE: row(431, "caller", "the request's head is over the limit"),
  UNAUTHORIZED: row(401, "caller", "the control API wants a valid bearer token"),
  HOST_REFUSED: row(403, "caller", "the control API does not answer to this host name or web page"),
  NOT_FOUND: row(404, "caller", "the control API has nothing at this address"),
  // --- functions
  FUNCTION_TIMEOUT: row(504, "app", "the function did not answer within its timeout"),
  FUNCTION_THREW: row(500, "app", "the handler threw an error or rejected"),
  FUNCTION_BAD_RESPONSE: row(502, "app", "the handler returned something that is not a valid response"),
  FUNCTION_CRASHED: row(502, "app", "the function's process ended while it was handling the request"),
  FUNCTION_OUT_OF_MEMORY: row(502, "app", "the function used more memory than its limit"),
  FUNCTION_START_FAILED: row(502, "app", "the function's code failed while it was being imported"),
  FUNCTION_CRASH_LOOP: row(503, "app", "the function failed to start several times and waits before the next try"),
  NO_INSTANCE: row(503, "platform", "no instance became free in time"),
  INVOCATION_CANCELLED: row(499, "caller", "the caller went away before the function answered"),
  INVOCATION_ENDED: row(409, "app", "a call was made in the name of an invocation that has already ended"),
  // --- deploying
  CONFIG_INVALID: row(400, "app", "aloft.json is not valid"),
  ENTRY_NOT_FOUND: row(400, "app", "the folder has no entry file, or several"),
  BUILD_FAILED: row(400, "app", "the code could not be bundled"),
  NO_FUNCTIONS: row(400, "app", "the code exports no function"),
  ROUTE_INVALID: row(400, "app", "a route is not written as METHOD /path"),
  ROUTE_CONFLICT: row(400, "app", "two functions claim the same route"),
  NAME_INVALID: row(400, "caller", "the name of an app, function, alias or variable is not valid"),
  DESCRIBE_FAILED: row(400, "app", "the code could not be imported to learn its functions"),
  DEPLOYMENT_NOT_FOUND: row(404, "caller", "the app has no deployment with this id"),
  DEPLOYMENT_TOO_LARGE: row(413, "caller", "the deployment is over a limit"),
  DEPLOY_SUPERSEDED: row(409, "caller", "a later deploy of this app went live first"),
  DEPLOY_NOT_FOUND: row(404, "caller", "there is no open deploy with this number"),
  FILE_MISSING: row(409, "caller", "a file of the deployment was not uploaded"),
  FILE_HASH_MISMATCH: row(400, "caller", "the bytes received do not have the hash they were sent under"),
  ALIAS_NOT_FOUND: row(404, "caller", "the app has no such alias"),
  ALIAS_CHANGED: row(409, "caller", "the alias was moved by someone else in the meantime"),
  NOTHING_TO_ROLL_BACK: row(409, "caller", "the app has no earlier deployment"),
  DOMAIN_TAKEN: row(409, "caller", "another app already holds this domain"),
  VARIABLE_RESERVED: row(400, "caller", "the variable's name is reserved for the platform"),
  VARIABLE_MISSING: row(400, "app", "a variable that aloft.json requires is not set"),
  // --- images
  IMAGE_INVALID: row(400, "app", "the file or folder is no image that Aloft can read"),
  IMAGE_PART_MISSING: row(400, "app", "the image names a part that is not there"),
  IMAGE_DIGEST_MISMATCH: row(400, "app", "a part of the image is not what its digest says"),
  IMAGE_LAYER_INVALID: row(400, "app", "a layer of the image is damaged, or holds what no layer may hold"),
  IMAGE_PLATFORM_MISMATCH: row(400, "app", "the image was built for another kind of machine"),
  IMAGE_COMMAND_MISSING: row(400, "app", "the image does not say which program to start"),
  IMAGE_USER_UNKNOWN: row(400, "app", "the image runs as a user that it does not have"),
  // --- events
  STREAM_NOT_FOUND: row(404, "caller", "the app has no stream of this name"),
  STREAM_IN_USE: row(409, "caller", "a live function consumes the stream, so it cannot be deleted"),
  CONSUMER_NOT_FOUND: row(404, "caller", "the stream has no consumer of this name"),
  CRON_NOT_FOUND: row(404, "caller", "the app has no cron of this name"),
  // --- the keyspace
  COMMIT_UNKNOWN: row(503, "platform", "the commit may or may not have happened"),
  COMMIT_TOO_LARGE: row(413, "app", "the commit has too many or too large checks and writes"),
  KEY_INVALID: row(400, "app", "the key is too long or has a part that cannot be encoded"),
  VALUE_TOO_LARGE: row(413, "app", "the value is over the limit"),
  NOT_AN_INTEGER: row(409, "app", "the value to add to is no 64-bit integer, or the sum does not fit into one"),
  KEYSPACE_BUSY: row(503, "platform", "too many commits are waiting"),
  // --- state
  EFFECTS_TOO_LARGE: row(413, "app", "the handler has written too much for one commit"),
  READ_SET_TOO_LARGE: row(413, "app", "the handler has read too much under check for one commit"),
  STATE_CONFLICT: row(409, "app", "something that was read has changed before the writes were committed"),
  UPLOAD_EXPIRED: row(409, "app", "the upload was not named by a blob in time, or was dropped"),
  LINK_INVALID: row(403, "caller", "the signed link is not one that the app has given out, or it was changed"),
  LINK_EXPIRED: row(403, "caller", "the signed link is no longer good"),
  BLOB_NOT_FOUND: row(404, "caller", "the signed link leads to a blob that is not there"),
  BLOB_EXISTS: row(412, "caller", "the signed link is for a new blob, and there is one of this key"),
  CONTENT_TYPE_REFUSED: row(415, "caller", "the upload has another content type than the signed link is for"),
  RANGE_INVALID: row(416, "caller", "the range that was asked for is not in the blob"),
  HOT_KEY: row(503, "app", "the writes met a conflict on the same key every time they were tried"),
  // --- queues
  QUEUE_NOT_FOUND: row(404, "caller", "the app has no queue of this name"),
  PAYLOAD_TOO_LARGE: row(413, "caller", "the message or the input of a call is over the limit"),
  DEDUPE_MISMATCH: row(409, "caller", "the deduplication id or idempotency key was used before with other content"),
  PARTIAL_FAILURE_WITH_WRITES: row(500, "app", "the handler named failed messages and has written in the name of all"),
  PARTIAL_FAILURE_INVALID: row(500, "app", "the handler named failed messages that it was not given"),
  MESSAGE_EXPIRED: row(500, "app", "the message has waited longer than the queue's maximum age"),
  CALL_NOT_FOUND: row(404, "caller", "there is no asynchronous call with this id"),
  // --- the server
  PORT_IN_USE: row(500, "platform", "the port is taken by another program"),
  DATA_LOCKED: row(500, "platform", "another server is using this data folder"),
  DATA_UNWRITABLE: row(500, "platform", "the data folder cannot be written"),
  DATA_CORRUPT: row(500, "platform", "a file of the data folder is damaged"),
  DATA_TOO_NEW: row(500, "platform", "the data folder was written by a newer version"),
  DATA_NOT_EMPTY: row(500, "caller", "the folder to restore into holds something already"),
  ARCHIVE_DAMAGED: row(400, "caller", "the archive is damaged, cut short or not a backup of Aloft"),
  BACKUP_RUNNING: row(409, "caller", "another backup is being taken"),
  DISK_FULL: row(507, "platform", "the disk has no room left"),
  SETTING_INVALID: row(500, "caller", "a setting has a value that is not allowed"),
  SANDBOX_UNAVAILABLE: row(500, "platform", "the sandbox asked for does not work on this host"),
  RUNTIME_UNAVAILABLE: row(503, "platform", "this machine lacks what the function's runtime needs"),
  SANDBOX_START_FAILED: row(503, "platform", "a sandbox could not be started"),
  WIRE_VIOLATION: row(502, "app", "the function's process broke the frame protocol"),
  SHUTTING_DOWN: row(503, "platform", "the server is stopping"),
  INTERNAL: row(500, "platform", "a bug in Aloft; the server's own log has the cause"),
  // --- the command line
  USAGE: row(400, "caller", "the command was not understood"),
  SERVER_UNREACHABLE: row(503, "caller", "no server answers at this address"),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

export interface AloftErrorOptions {
  /** What to do about it, one sentence. The command line prints it on a line of its own. */
  readonly hint?: string | undefined;
  /** Logged, never sent. */
  readonly cause?: unknown;
  /** Further members of the problem document, e.g. `{ routes: [...] }`. JSON values only. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The only error class that crosses rooms. `message` is lower case and says what happened, with the value and the limit.
 * Anything else that is thrown is a bug and becomes `INTERNAL` at the edge.
 */
export class AloftError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly detail: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: AloftErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AloftError";
    this.code = code;
    this.hint = options.hint;
    this.detail = options.detail;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get fault(): Fault {
    return errorTable[this.code].fault;
  }
}

/** A problem document of RFC 9457; `code` and `hint` are extension members. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly [member: string]: unknown;
}

export function problemOf(error: AloftError): Problem {
  return {
    type: `urn:aloft:error:${error.code}`,
    title: errorTable[error.code].about,
    status: error.status,
    detail: error.message,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...error.detail,
  };
}

/** The error itself when it is ours, else `INTERNAL` with the thing as its cause. */
export function asAloftError(thrown: unknown): AloftError {
  if (thrown instanceof AloftError) return thrown;
  return new AloftError("INTERNAL", "something went wrong inside Aloft", {
    cause: thrown,
    hint: "look into the server's own output for the cause",
  });
}
