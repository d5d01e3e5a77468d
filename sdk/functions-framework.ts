/**
 * Stands in for `@google-cloud/functions-framework` in user code: the bundler resolves that import to this file, and the
 * same import here to the copy the user installed. Everything is the real package's; registering a function also tells
 * the runtime, which then drives the handler through the real package's own server, so that `req` and `res` are exactly
 * what they are on Google's side.
 *
 * `event` (data, context) is ours: the framework runs such functions only by its command line's `--signature-type`.
 */
import * as framework from "@google-cloud/functions-framework";
import { getTestServer } from "@google-cloud/functions-framework/testing";
import { findRuntimeHost, type Registration } from "./runtime-host.ts";

// Names exported below come before the package's own.
export * from "@google-cloud/functions-framework";

export function http(name: string, handler: framework.HttpFunction): void {
  const registration = register(name, "http", handler);
  framework.http(name, (req, res) => watch(registration, () => handler(req, res) as unknown));
}

export function cloudEvent<T = unknown>(
  name: string,
  handler: framework.CloudEventFunction<T> | framework.CloudEventFunctionWithCallback<T>,
): void {
  const registration = register(name, "cloudevent", handler);
  const call = handler as framework.CloudEventFunctionWithCallback<T>;
  // The framework tells the two kinds apart by the number of parameters.
  if (handler.length > 1) {
    framework.cloudEvent<T>(name, (event, callback) =>
      watch(registration, () => call(event, watchCallback(registration, callback)) as unknown),
    );
  } else {
    framework.cloudEvent<T>(name, (event: framework.CloudEvent<T>) =>
      watch(registration, () => (call as framework.CloudEventFunction<T>)(event) as unknown),
    );
  }
}

export function event(name: string, handler: framework.EventFunction | framework.EventFunctionWithCallback): void {
  register(name, "event", handler);
}

// oxlint-disable-next-line import/no-default-export -- `import functions from` is how many write it
export default { ...framework, http, cloudEvent, event };

function register(name: string, signature: Registration["signature"], handler: Registration["handler"]): Registration {
  const server = signature === "event" ? null : () => getTestServer(name);
  const registration: Registration = { name, signature, handler, server, onError: null };
  findRuntimeHost()?.registrations.push(registration);
  return registration;
}

/** Reports what the handler throws to the runtime; where there is none, the framework makes a response of it. */
function watch(registration: Registration, run: () => unknown): unknown {
  const { onError } = registration;
  if (onError === null) return run();
  try {
    const result = run();
    return result instanceof Promise ? result.catch(onError) : result;
  } catch (error) {
    onError(error);
    return undefined;
  }
}

// oxlint-disable-next-line typescript/no-unsafe-function-type -- the framework's own type for it
function watchCallback(registration: Registration, callback: Function): (error?: unknown, result?: unknown) => void {
  return (error, result) => {
    if (registration.onError !== null && error !== undefined && error !== null) registration.onError(error);
    else callback(error, result);
  };
}
