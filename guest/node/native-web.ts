/**
 * The runtime's own web classes, loaded when something first needs them. Node brings them in one large module that takes
 * 60 ms of processor time and 6 MiB of memory, which most functions never need: the guest's own `Headers`, `Request` and
 * `Response` answer for them until then.
 *
 * Node's globals of these names load that module as soon as they are looked at, so they are deleted unseen, and the
 * module is asked for by its internal name. That needs the flag `--expose-internals` (`src/pool/guest-program.ts`), which
 * gives user code nothing that its process could not do already. Where the flag is missing or Node has moved the module,
 * the globals are read, and all works as before, only later and larger.
 */
import { createRequire } from "node:module";

interface WebClasses {
  readonly Headers: typeof Headers;
  readonly Request: typeof Request;
  readonly Response: typeof Response;
}

type ClassName = keyof WebClasses;

const moduleName = "internal/deps/undici/undici";
const onLoad: ((classes: WebClasses) => void)[] = [];
const load = findLoader();
let loaded: WebClasses | null = null;

export function nativeWeb(): WebClasses {
  if (loaded !== null) return loaded;
  loaded = load();
  for (const callback of onLoad.splice(0)) callback(loaded);
  return loaded;
}

/** The classes if something has needed them; no object of theirs that we know of can exist otherwise. */
export function loadedWeb(): WebClasses | null {
  return loaded;
}

/** Makes `value` the global of this name; `whenLoaded` is called once, when the real classes are there. */
export function replaceGlobal(name: ClassName, value: unknown, whenLoaded: (classes: WebClasses) => void): void {
  Reflect.deleteProperty(globalThis, name);
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  onLoad.push(whenLoaded);
}

function findLoader(): () => WebClasses {
  const require = createRequire(process.execPath);
  try {
    require.resolve(moduleName);
    return () => require(moduleName) as WebClasses;
  } catch {
    return readGlobals();
  }
}

function readGlobals(): () => WebClasses {
  const { Headers: headers, Request: request, Response: response } = globalThis;
  return () => ({ Headers: headers, Request: request, Response: response });
}
