/** An AWS Lambda handler behind Middy, with Powertools' logger and metrics as its middleware. */
import { Logger } from "@aws-lambda-powertools/logger";
import { injectLambdaContext } from "@aws-lambda-powertools/logger/middleware";
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { logMetrics } from "@aws-lambda-powertools/metrics/middleware";
import middy from "@middy/core";

interface UrlEvent {
  readonly rawPath: string;
  readonly queryStringParameters?: Readonly<Record<string, string>>;
}

const logger = new Logger({ serviceName: "styles" });
const metrics = new Metrics({ namespace: "aloft", serviceName: "styles" });

export const handler = middy(async (event: UrlEvent) => {
  const name = event.queryStringParameters?.["name"] ?? null;
  logger.info("greeting", { name });
  metrics.addMetric("greetings", MetricUnit.Count, 1);
  return {
    statusCode: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ style: "lambda-middy", path: event.rawPath, name }),
  };
})
  .use(injectLambdaContext(logger))
  .use(logMetrics(metrics, { captureColdStartMetric: true }));
