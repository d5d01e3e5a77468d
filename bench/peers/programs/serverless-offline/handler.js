// The job as an AWS Lambda handler behind an HTTP API (payload 2.0).
exports.hello = async (event) => {
  if (event.requestContext.http.method === "POST") {
    const { id } = JSON.parse(event.body);
    return { statusCode: 200, headers: { "content-type": "application/json" }, body: JSON.stringify({ id }) };
  }
  return { statusCode: 200, headers: { "content-type": "text/plain;charset=UTF-8" }, body: "hello" };
};
