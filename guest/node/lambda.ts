/**
 * AWS Lambda handlers. Over HTTP they get a Function URL's event and their result is that URL's answer; called with a
 * value, the value is the event and the result is the answer.
 */
import { callLambda, type LambdaHandler } from "./lambda-call.ts";
import { functionUrlEvent } from "./lambda-event.ts";
import { responseFromResult } from "./lambda-response.ts";
import { answerStreaming, callStreaming, isStreaming } from "./lambda-stream.ts";
import type { LoadedFunction } from "./loaded-function.ts";

export { lambdaEnvironment, nodeExecutionEnvironment } from "./lambda-context.ts";
export { installAwsLambda } from "./lambda-stream.ts";

export function loadLambda(name: string, handler: unknown): LoadedFunction {
  const base = { name, style: "lambda", triggers: [], limits: {} } as const;
  if (isStreaming(handler)) {
    return {
      ...base,
      fetch: async (request, context) =>
        await answerStreaming(handler, await functionUrlEvent(request, context, Date.now()), context),
      call: (input, context) => callStreaming(handler, input, context),
    };
  }
  const plain = handler as LambdaHandler;
  return {
    ...base,
    fetch: async (request, context) => {
      const event = await functionUrlEvent(request, context, Date.now());
      return responseFromResult(await callLambda(plain, event, context));
    },
    call: (input, context) => callLambda(plain, input, context),
  };
}
