"""AWS Lambda handlers: over HTTP with the event and the answer of a Function URL (payload format 2.0), else with the value.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html and .../python-context.html
"""
import asyncio
import base64
import inspect
import json
import os
import re
import time
from urllib.parse import parse_qsl

from . import frames
from .invocation import BadResponse, Gone

REGION = "us-east-1"
_TEXT_TYPES = re.compile(r"^(?:text/.+|application/(?:json|xml|javascript))$")
_NO_BODY = (204, 205, 304)
_DAYS_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def environment(assign, handler, python):
    """Variables that AWS sets; what the user has set goes over the region and the zone."""
    name = "%s-%s" % (assign["app"], assign["lambda"])
    return {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(assign["memoryMiB"]),
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + name,
        "AWS_LAMBDA_LOG_STREAM_NAME": "%s/[$LATEST]%s" % (time.strftime("%Y/%m/%d", time.gmtime()), assign["deployment"][:32]),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python%d.%d" % python,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "LAMBDA_TASK_ROOT": assign["root"],
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "TZ": ":UTC",
        "_HANDLER": handler,
    }


class CognitoIdentity:
    def __init__(self, said):
        self.cognito_identity_id = said.get("cognitoIdentityId")
        self.cognito_identity_pool_id = said.get("cognitoIdentityPoolId")


class Client:
    def __init__(self, said):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, said.get(name))


class ClientContext:
    def __init__(self, said):
        self.custom = said.get("custom")
        self.env = said.get("env")
        client = said.get("client")
        self.client = Client(client) if isinstance(client, dict) else None


class LambdaContext:
    """As AWS's runtime interface client for Python makes it."""

    def __init__(self, invocation):
        env = os.environ
        self.aws_request_id = invocation.id
        self.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        self.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.invoked_function_arn = "arn:aws:lambda:%s:000000000000:function:%s" % (
            env.get("AWS_REGION", REGION),
            self.function_name,
        )
        self.identity = CognitoIdentity(_said(invocation, "x-amz-cognito-identity") or {})
        said = _said(invocation, "x-amz-client-context")
        self.client_context = None if said is None else ClientContext(said)
        self.tenant_id = None
        self._deadline = invocation.deadline

    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.time()) * 1000))

    def log(self, message):
        print(message)


def _said(invocation, header):
    """What the caller of a call by name said beside the payload; requests have headers of their own."""
    if invocation.kind == frames.KIND_HTTP:
        return None
    value = dict(invocation.headers).get(header)
    return None if value is None else json.loads(base64.b64decode(value))


def call(handler, invocation):
    """Runs the handler to its end and sends its answer. What it raises is the caller's to report."""
    trace = amazon_trace(invocation.traceparent)
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    is_http = invocation.kind == frames.KIND_HTTP
    body = invocation.read_all()
    event = function_url_event(invocation, body) if is_http else (json.loads(body) if body else None)
    result = handler(event, LambdaContext(invocation))
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if is_http:
        _answer_http(invocation, result)
    else:
        _answer_value(invocation, result)


# --- the event


def function_url_event(invocation, body):
    path, _, query = invocation.target.partition("?")
    headers = {}
    cookies = []
    for name, value in invocation.headers:
        if name == "cookie":
            cookies += [part for part in re.split("; *", value) if part]
        else:
            headers[name] = headers[name] + "," + value if name in headers else value
    trace = amazon_trace(invocation.traceparent)
    if trace:
        headers.setdefault("x-amzn-trace-id", trace)
    domain = re.sub(r":\d+$", "", headers.get("host", ""))
    prefix = domain.split(".")[0]
    parameters = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = parameters[name] + "," + value if name in parameters else value
    now = time.time()
    event = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query}
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    if parameters:
        event["queryStringParameters"] = parameters
    event["requestContext"] = {
        "accountId": "anonymous",
        "apiId": prefix,
        "domainName": domain,
        "domainPrefix": prefix,
        "http": {
            "method": invocation.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": invocation.remote_address,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": invocation.id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _common_log_time(now),
        "timeEpoch": int(now * 1000),
    }
    event["isBase64Encoded"] = False
    if body:
        text = _text(headers, body)
        event["body"] = base64.b64encode(body).decode() if text is None else text
        event["isBase64Encoded"] = text is None
    return event


def _text(headers, body):
    """The types AWS hands over as text, when they are UTF-8; all others are base64."""
    kind = headers.get("content-type", "").lower().split(";")[0].strip()
    if "content-encoding" in headers or not _TEXT_TYPES.match(kind):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _common_log_time(now):
    moment = time.gmtime(now)
    # strftime would name the month in the user's language.
    return "%02d/%s/%d:%02d:%02d:%02d +0000" % (
        moment.tm_mday,
        _DAYS_MONTHS[moment.tm_mon - 1],
        moment.tm_year,
        moment.tm_hour,
        moment.tm_min,
        moment.tm_sec,
    )


def amazon_trace(traceparent):
    match = re.match(r"^00-([0-9a-f]{8})([0-9a-f]{24})-([0-9a-f]{16})-([0-9a-f]{2})$", traceparent)
    if match is None:
        return ""
    moment, random, parent, flags = match.groups()
    return "Root=1-%s-%s;Parent=%s;Sampled=%d" % (moment, random, parent, int(flags, 16) & 1)


# --- the answer


def _answer_value(invocation, result):
    if inspect.isgenerator(result):
        text = b"".join(_chunks(result)).decode("utf-8", "replace")
        try:
            result = json.loads(text)
        except ValueError:
            result = text
    invocation.answer(200, [("content-type", "application/json")], _json(result).encode())


def _answer_http(invocation, result):
    if inspect.isgenerator(result):
        _stream(invocation, result)
        return
    if isinstance(result, str):
        result = {"statusCode": 200, "body": result}
    else:
        # Through JSON and back, as results travel on AWS.
        result = json.loads(_json(result))
        if not (isinstance(result, dict) and "statusCode" in result):
            result = {"statusCode": 200, "body": json.dumps(result)}
    status, headers = head_of(result)
    body = result.get("body")
    if status in _NO_BODY:
        invocation.answer(status, headers, b"")
        return
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    if body is None:
        data = b""
    elif isinstance(body, str):
        data = base64.b64decode(body) if result.get("isBase64Encoded") is True else body.encode("utf-8", "surrogatepass")
    elif isinstance(body, (dict, list)):
        data = json.dumps(body).encode()
    else:
        raise BadResponse("the handler's body is %s; it must be text" % _shown(body))
    invocation.answer(status, headers, b"" if invocation.method == "HEAD" else data)


def _stream(invocation, generator):
    """A generator's chunks are the body; a first one that is a dict is the head."""
    try:
        first = next(generator, b"")
        if isinstance(first, dict):
            status, headers = head_of({"statusCode": 200, **first})
            first = b""
        else:
            status, headers = 200, []
        if not any(name == "content-type" for name, _ in headers):
            headers.append(("content-type", "application/octet-stream"))
        invocation.start(status, headers)
        for chunk in _chunks(generator, first):
            invocation.write(chunk)
        invocation.finish()
    except Gone:
        invocation.finish()
    finally:
        generator.close()


def _chunks(generator, first=b""):
    for chunk in (first, *()):
        if chunk:
            yield _bytes_of(chunk)
    for chunk in generator:
        yield _bytes_of(chunk)


def _bytes_of(chunk):
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    return _json(chunk).encode()


def head_of(result):
    status = result.get("statusCode")
    if isinstance(status, str) and re.match(r"^\d{3}$", status):
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise BadResponse("the handler's statusCode is %s; it must be a whole number from 200 to 599" % _shown(result.get("statusCode")))
    given = result.get("headers")
    if given is not None and not isinstance(given, dict):
        raise BadResponse("the handler's headers are %s; they must be an object" % _shown(given))
    cookies = result.get("cookies")
    if cookies is not None and not isinstance(cookies, list):
        raise BadResponse("the handler's cookies are %s; they must be a list" % _shown(cookies))
    headers = []
    for name, value in (given or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, (str, int, float)):
            raise BadResponse("the handler's header %s is %s; it must be text" % (name, _shown(value)))
        headers.append(header(name, str(value)))
    headers += [header("set-cookie", str(cookie)) for cookie in cookies or []]
    return status, headers


_token = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
_refused = re.compile("[\0\r\n]|[^\0-\xff]")


def header(name, value):
    """Raises BadResponse for what must not reach the wire."""
    value = value.strip(" \t")
    if not isinstance(name, str) or not _token.match(name) or _refused.search(value):
        raise BadResponse("the header %s is not valid: %s" % (_shown(name), _shown(value)))
    return name.lower(), value


def _json(value):
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise BadResponse("what the handler returned is not JSON: %s" % error) from None


def _shown(value):
    try:
        return json.dumps(value)[:100]
    except (TypeError, ValueError):
        return repr(value)[:100]
