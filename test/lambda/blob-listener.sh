#!/bin/sh
# A custom runtime of AWS Lambda in shell: keeps what it is told of blobs, in the name of the event.
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
headers=$(mktemp)
while true; do
  event=$(curl -sS -D "$headers" "$api/invocation/next")
  id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *//Ip' "$headers" | tr -d '\r')
  curl -sS --fail -o /dev/null --unix-socket "$ALOFT_STATE_SOCKET" -X PUT "http://state/kv/heard/$id" \
    -H "aloft-invocation: $id" -H 'content-type: application/json' -d "$event"
  curl -sS -o /dev/null "$api/invocation/$id/response" -d null
done
