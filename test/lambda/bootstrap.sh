#!/bin/sh
# A custom runtime of AWS Lambda in shell, as AWS's own tutorial has it. Does what the event asks for.
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
headers=$(mktemp)
while true; do
  event=$(curl -sS -D "$headers" "$api/invocation/next")
  id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *//Ip' "$headers" | tr -d '\r')
  echo "handling $id"
  case "$event" in
    *refuse*)
      curl -sS -o /dev/null "$api/invocation/$id/error" -H "Lambda-Runtime-Function-Error-Type: Function.Refused" \
        -d '{"errorType":"Refused","errorMessage":"no","stackTrace":["line 1"]}' ;;
    *exit*) exit 3 ;;
    *sleep*) sleep 60 ;;
    # tail holds all of it until somebody reads.
    *eat*) head -c 260000000 /dev/zero | tail -c 260000000 | sleep 60; exit 1 ;;
    *large*) head -c 7000000 /dev/zero | curl -sS -o /dev/null "$api/invocation/$id/response" --data-binary @- ;;
    *twice*)
      curl -sS -o /dev/null "$api/invocation/unknown/response" -d '"for another"'
      curl -sS -o /dev/null "$api/invocation/$id/response" -d '"first"'
      curl -sS -w ' %{http_code}\n' "$api/invocation/$id/response" -d '"second"' ;;
    *said*)
      header() { sed -n "s/^$1: *//Ip" "$headers" | tr -d '\r'; }
      quoted() { header "$1" | sed 's/[\\"]/\\&/g'; }
      curl -sS -o /dev/null "$api/invocation/$id/response" -d "{\"context\":\"$(quoted Lambda-Runtime-Client-Context)\",\"identity\":\"$(quoted Lambda-Runtime-Cognito-Identity)\",\"trace\":\"$(header Lambda-Runtime-Trace-Id)\"}" ;;
    *garbage*) curl -sS -o /dev/null "$api/invocation/$id/response" -d 'no JSON' ;;
    *) curl -sS -o /dev/null "$api/invocation/$id/response" -d "{\"event\":$event,\"name\":\"$AWS_LAMBDA_FUNCTION_NAME\",\"pid\":$$,\"api\":\"$AWS_LAMBDA_RUNTIME_API\"}" ;;
  esac
done
