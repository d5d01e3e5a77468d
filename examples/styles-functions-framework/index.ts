/**
 * Google's Functions Framework, unmodified. With a single http function it takes every path; events are delivered by
 * `aloft invoke`.
 */
import * as functions from "@google-cloud/functions-framework";

functions.http("hello", (request, response) => {
  response.json({ style: "functions-framework", method: request.method, path: request.path });
});

functions.cloudEvent("greeted", (event: functions.CloudEvent<{ name: string }>) => {
  console.log(`${event.type} from ${event.source}: ${event.data?.name}`);
});
