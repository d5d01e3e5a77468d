// The job as a Functions Framework http function; the framework itself has parsed a JSON body by then.
import { http } from "@google-cloud/functions-framework";

http("hello", (request, response) => {
  if (request.method === "POST") response.json({ id: request.body.id });
  else response.type("text/plain").send("hello");
});
