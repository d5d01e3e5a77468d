import { contextForDirectCall, type HttpContext } from "./context.ts";
import { type DeclaredFunction, functionKey } from "./declared-function.ts";
import { type FunctionOptions, limitsFrom } from "./options.ts";
import { matchPath, type Params, parseRoute, type Route } from "./route.ts";

/** Answers one request. Throwing or rejecting becomes a 500 with the error in the function's logs. */
export type HttpHandler<P = Record<string, string>> = (
  request: Request,
  context: HttpContext<P>,
) => Response | Promise<Response>;

/**
 * What `http` returns: export it, and its route is served. Calling it runs the handler in place, with the parameters its
 * route finds in the request's path; that is how unit tests use it.
 */
export interface HttpFunction<P = Record<string, string>> {
  (request: Request, context?: Partial<HttpContext<P>>): Promise<Response>;
  /** The handler as it was given. */
  readonly handler: HttpHandler<P>;
}

/**
 * Declares a function that answers HTTP requests.
 *
 *     export const follow = http("GET /links/:id", (request, { params }) => Response.json(params.id));
 *
 * A route is a method and a path, or a path alone for every method: `:name` is one part of the path, `:name?` a last part
 * that may be missing, `*` at the end the whole rest. Throws when the route or the options are not valid.
 */
export function http<const R extends Route>(route: R, handler: HttpHandler<Params<R>>): HttpFunction<Params<R>>;
export function http<const R extends Route>(
  route: R,
  options: FunctionOptions,
  handler: HttpHandler<Params<R>>,
): HttpFunction<Params<R>>;
export function http(route: string, ...rest: [AnyHandler] | [FunctionOptions, AnyHandler]): HttpFunction<never> {
  const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest;
  parseRoute(route);
  limitsFrom(options);
  if (typeof handler !== "function") throw new TypeError(`http("${route}"): the handler is not a function`);

  async function call(request: Request, given?: Partial<HttpContext<never>>): Promise<Response> {
    const params = given?.params ?? matchPath(route, new URL(request.url).pathname) ?? {};
    const context = { ...contextForDirectCall(), ...given, params } as HttpContext<never>;
    return await handler(request, context);
  }

  const declared: DeclaredFunction = { kind: "http", route, options, handler };
  return Object.assign(call, { handler, [functionKey]: declared });
}

/** The route's parameters are only known to the overloads. */
type AnyHandler = HttpHandler<never>;
