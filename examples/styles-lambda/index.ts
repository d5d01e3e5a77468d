/** An AWS Lambda handler. Over HTTP it gets the event of a Function URL (payload 2.0) and takes one request at a time. */
interface UrlEvent {
  readonly rawPath: string;
  readonly queryStringParameters?: Readonly<Record<string, string>>;
  readonly requestContext: { readonly http: { readonly method: string } };
}

let calls = 0; // no two requests share an instance at the same time, so this needs no care

export const handler = async (event: UrlEvent) => {
  calls += 1;
  return {
    statusCode: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      style: "lambda",
      method: event.requestContext.http.method,
      path: event.rawPath,
      name: event.queryStringParameters?.["name"] ?? null,
      calls,
    }),
  };
};
