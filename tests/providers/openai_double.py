"""A server that answers as OpenAI's API and Azure OpenAI do, by their documentation and reports of autumn 2026.

It serves /v1/chat/completions, /v1/responses, /v1/embeddings and /v1/models; for Azure /openai/deployments/NAME/...
with an api-version, /openai/responses with a newer one, and /openai/v1/... with none. It does not stream.
"""

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from openai_checks import Rejection, check_needed, reject, words
from openai_replies import count_input, echo, embed, filters, identity, models_of, reply_chat, reply_response
from openai_rules import MODELS, check_chat, check_model, check_responses, texts_of

THINKING_TOKENS, LEAST_TOKENS = 8, 16
LIMITS = (30_000, 180_000_000, 29_999, 179_999_000)  # of the highest tier: a client obeys them
PARSE = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the API "
    "from your browser and are prompted for a username and password. You can obtain an API key from "
    "https://platform.openai.com/account/api-keys."
)
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
QUOTA_CODES = words(
    "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded project_spend_limit_exceeded "
    "organization_usage_limit_exceeded"
)
FAULTS = {  # the message, type and code of each status
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
    429: (
        (
            "Rate limit reached for {model} in organization org-double on tokens per min (TPM): Limit 30000, Used "
            "29500, Requested 1200. Please try again in 1.4s. Visit https://platform.openai.com/account/rate-limits "
            "to learn more."
        ),
        "tokens",
        "rate_limit_exceeded",
    ),
    500: (
        (
            "The server had an error while processing your request. Sorry about that! You can retry your request, or "
            "contact us through our help center at help.openai.com if the error persists."
        ),
        "server_error",
        "server_error",
    ),
    503: (
        "Our servers are currently overloaded. Please try again later.",
        "service_unavailable_error",
        "server_is_overloaded",
    ),
}
AZURE_FAULTS = {
    429: (
        (
            "Your requests to {model} for {model} in East US 2 have exceeded the token rate limit for your current "
            "AIServices S0 pricing tier. This request was for {operation} under Azure OpenAI API version {version}. "
            "Please retry after 1 seconds. To increase your default rate limit, visit: https://aka.ms/oai/quotaincrease."
        ),
        "RateLimitReached",
    ),
    500: ("Backend returned unexpected response. Please contact Microsoft for help.", "InternalServerError"),
    503: ("The service is temporarily unable to process your request. Please try again later.", "ServiceUnavailable"),
}
AZURE_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
AZURE_TOKEN = (
    "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or "
    "have expired."
)
AZURE_FILTER = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)
NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
FLAGGED = (
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a "
    "different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting"
)
OPERATIONS = {
    "chat": ("chatCompletion", "ChatCompletions_Create"),
    "responses": ("responses", "Responses_Create"),
    "embeddings": ("embeddings", "Embeddings_Create"),
}
PATHS = {"chat/completions": "chat", "responses": "responses", "embeddings": "embeddings"}


def azure_error(message, code, answered=400, **more):
    return Rejection(message, status=answered, payload={"error": {"code": code, "message": message, **more}})


def refuse_constant(name):
    raise ValueError(name)


def parse(data):
    """Give the body of a request, or its text where it is no JSON."""
    try:
        return json.loads(data or b"null", parse_constant=refuse_constant)
    except ValueError:
        return data.decode(errors="replace")


def masked(key):
    """Hide the middle of a key."""
    return key if len(key) <= 8 else f"{key[:8]}{'*' * max(len(key) - 12, 1)}{key[-4:]}"


def openai_headers():
    limits = dict(
        zip(("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens"), LIMITS, strict=True)
    )
    limits |= {"reset-requests": "120ms", "reset-tokens": "2s"}
    more = {"x-request-id": identity("req_"), "openai-version": "2020-10-01", "openai-processing-ms": 12}
    more |= {"openai-organization": "org-double"}
    return more | {f"x-ratelimit-{name}": value for name, value in limits.items()}


def azure_headers():
    more = {"apim-request-id": identity(""), "x-request-id": identity(""), "x-ms-region": "East US 2"}
    return more | {"x-ratelimit-remaining-requests": LIMITS[2], "x-ratelimit-remaining-tokens": LIMITS[3]}


def wait_of(fault, status):
    """Tell how long to wait, where the API tells it."""
    wait = fault.get("retry_after", 1)
    return {"retry-after": wait} if status in (429, 503) else {}


def raise_fault(fault, body):
    """Raise the error that a test asks for."""
    status = fault.get("status", 500 if "failed" in fault and "messages" in (body or ()) else 200)
    if status < 400:
        return
    message, kind, code = FAULTS.get(status, FAULTS[500])
    code = fault.get("code", code)
    if code in QUOTA_CODES:
        message, kind = QUOTA, "insufficient_quota"
    name = body.get("model") if isinstance(body, dict) else None
    message, kind = fault.get("message", message.format(model=name)), fault.get("type", kind)
    headers = {} if kind == "insufficient_quota" else wait_of(fault, status)
    raise Rejection(message, None, code, status, kind, headers=headers)


def raise_azure_fault(fault, model, operation, version):
    status = fault.get("status", 200)
    if status < 400:
        return
    message, code = AZURE_FAULTS.get(status, AZURE_FAULTS[500])
    message = fault.get("message", message.format(model=model, operation=operation, version=version))
    error = azure_error(message, fault.get("code", code), status)
    error.headers = wait_of(fault, status)
    raise error


def filtered(endpoint):
    """The error of a prompt that Azure's filter stopped."""
    results = filters("violence", prompt=True)
    if endpoint == "responses":
        found = {"blocked": True, "source_type": "prompt", "content_filter_results": results}
        more = {"type": "invalid_request_error", "param": "prompt", "content_filters": [found]}
        return azure_error(AZURE_FILTER, "content_filter", **more)
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    more = {"type": None, "param": "prompt", "status": 400}
    return azure_error(AZURE_FILTER, "content_filter", **more, innererror=inner)


def with_filters(answer, endpoint, fault):
    """Add what Azure's filters found to an answer."""
    found = "violence" if "content_filter" in (fault.get("finish"), fault.get("incomplete")) else ""
    if endpoint == "chat":
        answer["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": filters(prompt=True)}]
        for choice in answer["choices"]:
            choice["content_filter_results"] = filters(found)
    if endpoint == "responses":
        prompt = {"blocked": False, "source_type": "prompt", "content_filter_results": filters(prompt=True)}
        written = {"blocked": bool(found), "source_type": "completion", "content_filter_results": filters(found)}
        answer["content_filters"] = [prompt, written]
    return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, headers, payload = self.server.double.reply(self.command, self.path, headers, data)
        content = json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_): ...


class OpenAIDouble:
    """A context manager that runs the server.

    ``answer(prompt, body)`` gives the text of a reply. ``faults``: what goes wrong with the next requests, one each.
    ``deployments``: Azure's names of models, besides their own. ``window``: the most input tokens, if not the model's.
    """

    api_key = "sk-proj-double0123456789abcdefghijklmnop"
    entra_token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJkb3VibGUifQ.c2lnbmF0dXJl"

    def __init__(self, answer=None):
        self.answer, self.window = answer or echo, None
        self.deployments = {"chat-prod": "gpt-4.1", "reasoning-prod": "gpt-5.4", "embed-prod": "text-embedding-3-small"}
        self.requests, self.statuses, self.faults = [], Counter(), []
        self.stored, self.lock = set(), threading.Lock()
        self.server = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 1024})(("127.0.0.1", 0), Handler)
        self.server.double = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, method, target, headers, data):
        """Give the status, the headers and the body of a reply."""
        url, body = urlsplit(target), parse(data)
        is_azure = url.path.startswith("/openai/")
        with self.lock:
            self.requests.append((target, body))
            fault = self.faults.pop(0) if self.faults else {}
        status, more = 200, azure_headers() if is_azure else openai_headers()
        try:
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            serve = self.serve_azure if is_azure else self.serve
            payload = serve(method, unquote(url.path), query, headers, body, fault)
        except Rejection as rejection:
            status, payload = rejection.status, rejection.payload
            more |= rejection.headers
            more = {name: value for name, value in more.items() if status != 401 or "ratelimit" not in name}
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            message = f"This double cannot read the request: {error!r}"
            status, payload = 400, Rejection(message).payload
        with self.lock:
            self.statuses[status] += 1
        return status, more, payload

    def serve(self, method, path, query, headers, body, fault):  # noqa: ARG002
        """Answer as OpenAI does."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        reject(scheme != "Bearer" or not key, NO_KEY, status=401)
        page = "You can find your API key at https://platform.openai.com/account/api-keys."
        reject(key != self.api_key, f"Incorrect API key provided: {masked(key)}. {page}", None, "invalid_api_key", 401)
        endpoint = PATHS.get(path.removeprefix("/v1/"))
        if method == "GET" and re.match(r"/v1/models(/|$)", path):
            return models_of(path.removeprefix("/v1/models").strip("/"))
        reject(endpoint is None, f"Invalid URL ({method} {path})", status=404)
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        reject(method != "POST", f"Not allowed to {method} on {path}. {hint}", None, "method_not_supported", 405)
        raise_fault(fault, body)
        reject(not isinstance(body, dict), PARSE)
        reject(endpoint != "responses" and not body.get("model"), "you must provide a model parameter")
        check_needed(body, "model", "")
        name = check_model(body["model"], endpoint)
        return self.create(endpoint, body, name, fault, Rejection(FLAGGED, None, "invalid_prompt"))

    def serve_azure(self, method, path, query, headers, body, fault):
        """Answer as Azure OpenAI does."""
        found = re.fullmatch(r"/openai/(v1/|deployments/([^/]+)/|)(.*)", path)
        route, deployment, rest = found.groups()
        self.check_azure_key(headers, is_v1=route == "v1/")
        endpoint, version = PATHS.get(rest), query.get("api-version", "")
        dated = re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version)
        known = endpoint == "responses" if not route else endpoint is not None
        if route == "v1/" and method == "GET" and re.match(r"models(/|$)", rest):
            return models_of(rest.removeprefix("models").strip("/"))
        if route == "v1/" and version not in ("", "preview", "latest", "v1"):
            raise azure_error("API version not supported", "BadRequest")
        if method != "POST" or not known or (route != "v1/" and not dated) or (deployment and endpoint == "responses"):
            raise azure_error("Resource not found", "404", 404)
        if not route and version < "2025-03-01":
            late = "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later"
            raise azure_error(late, "BadRequest")
        reject(not isinstance(body, dict), PARSE)
        model = deployment or body.get("model")
        if not deployment:
            check_needed(body, "model", "")
        raise_azure_fault(fault, model, OPERATIONS[endpoint][1], version or "v1")
        name = self.deployments.get(model, model)
        if name not in MODELS:
            raise azure_error(NO_DEPLOYMENT, "DeploymentNotFound", 404)
        fits = {"chat": ("both",), "embeddings": ("embeddings",), "responses": ("both", "responses", "other")}
        if MODELS[name].api not in fits[endpoint]:
            page = "https://go.microsoft.com/fwlink/?linkid=2197993"
            which = f"You can learn more about which models can be used with each operation here: {page}."
            wrong = f"The {OPERATIONS[endpoint][0]} operation does not work with the specified model, {name}."
            raise azure_error(f"{wrong} Please choose different model and try again. {which}", "OperationNotSupported")
        return with_filters(self.create(endpoint, body, name, fault, filtered(endpoint)), endpoint, fault)

    def check_azure_key(self, headers, *, is_v1):
        """Check how a request proves who sends it: a key of its own header, a token, and with v1 a key as a token."""
        key, token = headers.get("api-key"), headers.get("authorization", "").removeprefix("Bearer ")
        if (
            key == self.api_key
            or (not key and token == self.entra_token)
            or (is_v1 and not key and token == self.api_key)
        ):
            return
        if key or (is_v1 and token.count(".") != 2 and token):
            raise azure_error(AZURE_KEY, "401", 401)
        raise Rejection(AZURE_TOKEN, status=401, payload={"statusCode": 401, "message": AZURE_TOKEN})

    def create(self, endpoint, body, name, fault, flagged):
        """Check a request and answer it. ``name``: its model without a date. ``flagged``: the error of a bad prompt."""
        dated = f"{name}-{MODELS[name].snapshot}".strip("-")
        if endpoint == "embeddings":
            return embed(body, name) | {"model": name}
        check = check_chat if endpoint == "chat" else check_responses
        effort, prompt, given = check(body, name), "\n".join(texts_of(body)), count_input(body)
        prompt = f"{body['instructions']}\n{prompt}" if body.get("instructions") else prompt
        window, code = self.window or MODELS[name].window, "context_length_exceeded"
        if endpoint == "responses":
            before = body.get("previous_response_id")
            lost = f"Previous response with id '{before}' not found."
            reject(before and before not in self.stored, lost, "previous_response_id", "previous_response_not_found")
            long = "Your input exceeds the context window of this model. Please adjust your input and try again."
            reject(given > window, long, "input", code)
        else:
            found = f"messages resulted in {given} tokens. Please reduce the length of the messages."
            long = f"Input tokens exceed the configured limit of {window} tokens. Your {found}"
            old = f"This model's maximum context length is {window} tokens. However, your {found}"
            reject(given > window, long if MODELS[name].efforts else old, "messages", code)
        if fault.get("filter_prompt"):
            raise flagged
        spent = fault.get("reasoning", 0 if effort == "none" else THINKING_TOKENS)
        most = body.get("max_completion_tokens") if endpoint == "chat" else body.get("max_output_tokens")
        short = "Could not finish the message because max_tokens or model output limit was reached."
        starved = endpoint == "chat" and effort != "none" and (most or LEAST_TOKENS) < LEAST_TOKENS
        reject(starved, f"{short} Please try again with higher max_tokens.")
        spent = spent if most is None else min(spent, most)
        put_together = reply_chat if endpoint == "chat" else reply_response
        answer = put_together(body, name, spent, self.answer(prompt, body), fault)
        if endpoint == "responses" and answer["store"]:
            self.stored.add(answer["id"])
        return answer | {"model": dated}
