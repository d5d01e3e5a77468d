/** An AWS Lambda handler of the older kind: CommonJS, and the answer goes to a callback. */
exports.handler = (event, context, callback) => {
  callback(null, { style: "lambda-callback", path: event.rawPath, requestId: context.awsRequestId });
};
