"""Parameters that many functions share, and the checks of constant arguments.

The checks run when a call is bound, before any request. ``function`` is the name in the errors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import msgspec

from aiquery.config.catalogs import vendors
from aiquery.config.local_models import find_known_local
from aiquery.errors import ArgumentError, excerpt
from aiquery.interfaces import Parameter
from aiquery.limits import MAX_JSON_DEPTH
from aiquery.requests.nesting import measure_json_depth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.budget import OnBudget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config

CONTENT = Parameter(
    "content",
    "column",
    required=True,
    doc="the text; NULL gives NULL without a request",
)
ENDPOINT = Parameter(
    "endpoint",
    "constant",
    doc="name of an endpoint, or vendor:model; default: the endpoint of `[defaults]`",
)
REQUIRED_ENDPOINT = Parameter(
    "endpoint",
    "constant",
    required=True,
    doc="name of an endpoint, or vendor:model",
)
FAIL_ON_ERROR = Parameter(
    "failOnError",
    "constant",
    doc="false: the result is a STRUCT<result, errorMessage>, and a failed row has an errorMessage",
)
ON_BUDGET = Parameter(
    "on_budget",
    "constant",
    doc="'null': a row that the budget rejects is NULL; 'error': it fails the statement",
)
COMMON = (ENDPOINT, FAIL_ON_ERROR, ON_BUDGET)
"""The last parameters of every function except ``ai_query`` and ``ai_count_tokens``."""

OnError = Literal["fail", "struct", "inside"]
"""What an error of a row becomes.

fail     it fails the statement
struct   the row is a STRUCT<result, errorMessage>
inside   the row's value has a field ``error_message``
"""

MAX_LABEL_CHARACTERS = 100
MAX_INSTRUCTIONS_CHARACTERS = 20_000


def find_endpoint(function: str, name: object, config: Config) -> Endpoint:
    """Return the endpoint ``name`` of any task. Raises ``ArgumentError`` or ``ConfigError``."""
    if not isinstance(name, str):
        raise ArgumentError(
            f"{function}: endpoint must be a constant STRING: the name of an endpoint."
        )
    return config.endpoint(name)


def find_task_endpoint(
    function: str,
    task: Literal["chat", "embedding", "rerank"],
    name: object,
    config: Config,
) -> Endpoint:
    """Return the endpoint ``name``, or the default endpoint of the task.

    ``vendor:model`` has the task of the function. Raises ``ArgumentError`` for an endpoint of another task.
    """
    if name is None or name == "":
        name = getattr(config.defaults, task)
        if name is None:
            raise ArgumentError(
                f"{function}: there is no default endpoint for task = {task!r}; give endpoint => "
                f"'..', or set [defaults] {task}."
            )
    endpoint = find_endpoint(function, name, config)
    if endpoint.name not in config.endpoints and not endpoint_states_task(endpoint):
        endpoint = msgspec.structs.replace(endpoint, task=task)
    if endpoint.task != task:
        raise ArgumentError(
            f"{function}: endpoint {endpoint.name!r} has task = {endpoint.task!r}; name one with "
            f"task = {task!r}, or set [defaults] {task}."
        )
    return endpoint


def endpoint_states_task(endpoint: Endpoint) -> bool:
    """Return True if the vendor or the known model of an endpoint ``vendor:model`` has one task only."""
    vendor = endpoint.name.partition(":")[0]
    known = find_known_local(endpoint.provider, endpoint.model)
    return "task" in vendors().get(vendor, {}) or known is not None


def read_on_error(
    function: str, arguments: Mapping[str, Any], default: OnError = "fail"
) -> OnError:
    """Return what ``failOnError`` requests; ``default`` if it is missing.

    Raises ``ArgumentError``.
    """
    fails = arguments.get("failOnError")
    if not isinstance(fails, bool | None):
        raise ArgumentError(
            f"{function}: failOnError must be a constant BOOLEAN, not {excerpt(repr(fails))}."
        )
    if fails is None:
        return default
    return "fail" if fails else "struct"


def read_on_budget(function: str, arguments: Mapping[str, Any]) -> OnBudget | None:
    """Return what ``on_budget`` requests; None: the configuration decides.

    Raises ``ArgumentError``.
    """
    on_budget = arguments.get("on_budget")
    if on_budget not in {None, "error", "null"}:
        raise ArgumentError(
            f"{function}: on_budget must be 'error' or 'null', not {excerpt(repr(on_budget))}."
        )
    return on_budget


def read_text(
    function: str, name: str, value: object, max_characters: int | None = None
) -> str:
    """Return a constant STRING that is not empty. Raises ``ArgumentError``."""
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(
            f"{function}: {name} must be a constant STRING that is not empty, not "
            f"{excerpt(repr(value))}."
        )
    if max_characters is not None and len(value) > max_characters:
        raise ArgumentError(
            f"{function}: {name} has {len(value):,} characters; at most {max_characters:,} are "
            "allowed."
        )
    return value


def read_json_constant(function: str, what: str, text: str) -> Any:
    """Return the value of a constant in JSON. Raises ``ArgumentError``; ``what`` begins it, e.g. "labels are"."""
    if measure_json_depth(text) > MAX_JSON_DEPTH:
        raise ArgumentError(
            f"{function}: {what} nested more than {MAX_JSON_DEPTH} levels deep."
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentError(
            f"{function}: {what} malformed JSON: {error}. The text was {excerpt(text)!r}"
        ) from None


def read_texts(
    function: str, name: str, value: object, min_items: int, max_items: int
) -> list[str]:
    """Return a constant ARRAY of STRINGs that ``check_texts`` accepts. Raises ``ArgumentError``."""
    if not is_list_of_strings(value):
        raise ArgumentError(
            f"{function}: {name} must be a constant ARRAY of STRINGs such as ARRAY('a', 'b'), not "
            f"{excerpt(repr(value))}."
        )
    return check_texts(function, name, value, min_items, max_items)


def is_list_of_strings(value: object) -> TypeGuard[list[str]]:
    """Return True for a list of texts, which may be empty."""
    if not isinstance(value, list):
        return False
    return all(isinstance(item, str) for item in value)


def check_texts(
    function: str, name: str, texts: list[str], min_items: int, max_items: int
) -> list[str]:
    """Return ``texts`` if their number is allowed, all differ, and each has 1 to 100 characters.

    Raises ``ArgumentError``.
    """
    if not min_items <= len(texts) <= max_items:
        raise ArgumentError(
            f"{function}: {name} must have {min_items} to {max_items} items, not {len(texts)}."
        )
    for text in texts:
        if not text.strip() or len(text) > MAX_LABEL_CHARACTERS:
            raise ArgumentError(
                f"{function}: {name}: an item must have 1 to {MAX_LABEL_CHARACTERS} characters; "
                f"{excerpt(text)!r} has {len(text)}."
            )
    repeated = {text for text in texts if texts.count(text) > 1}
    if repeated:
        raise ArgumentError(
            f"{function}: {name}: {min(repeated)!r} appears more than once."
        )
    return texts


def read_options(
    function: str, value: object, known: tuple[str, ...]
) -> dict[str, str]:
    """Return the constant MAP of options without NULLs. Raises ``ArgumentError``.

    ``known`` are the names of the function's options.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ArgumentError(
            f"{function}: options must be a constant MAP such as map('version', '2.0')."
        )
    for name in value:
        if name not in known:
            raise ArgumentError(
                f"{function}: option {name!r} is not known; known: {', '.join(known)}."
            )
    return {name: str(item) for name, item in value.items() if item is not None}


def read_flag(function: str, options: Mapping[str, str], name: str) -> bool:
    """Return an option that is 'true' or 'false'; default: false. Raises ``ArgumentError``."""
    text = options.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise ArgumentError(
            f"{function}: option {name!r} must be 'true' or 'false', not {excerpt(text)!r}."
        )
    return text == "true"


def read_instructions(function: str, options: Mapping[str, str]) -> str:
    """Return the option ``instructions`` as a line of the prompt; "" if it is missing.

    Raises ``ArgumentError``.
    """
    value = options.get("instructions")
    if value is None:
        return ""
    name = "option 'instructions'"
    return read_text(function, name, value, MAX_INSTRUCTIONS_CHARACTERS) + "\n"


def read_version(function: str, options: Mapping[str, str], default: str) -> str:
    """Return the option ``version``: '1.0', '2.0' or '2.1'; ``default`` if it is missing.

    Raises ``ArgumentError``.
    """
    text = options.get("version")
    if text is None:
        return default
    versions = {"1": "1.0", "1.0": "1.0", "2": "2.0", "2.0": "2.0", "2.1": "2.1"}
    if text not in versions:
        raise ArgumentError(
            f"{function}: option 'version' must be '1.0', '2.0' or '2.1', not {excerpt(text)!r}."
        )
    return versions[text]


def reject_options(
    function: str, options: Mapping[str, str], version: str, needs: Mapping[str, str]
) -> None:
    """Raise ``ArgumentError`` for an option that ``version`` does not have; ``needs`` has the version of each."""
    for name, needed in needs.items():
        if name in options and version != needed:
            raise ArgumentError(
                f"{function}: option {name!r} needs version {needed}, and this call is version {version}; add "
                f"map('version', '{needed}')."
            )
