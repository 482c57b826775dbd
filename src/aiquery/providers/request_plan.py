"""How the requests of one template are sent to a model that does not take everything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.providers.strict_schema import is_open
from aiquery.providers.unsupported import (
    JSON_OBJECT,
    JSON_SCHEMA,
    SCHEMAS,
    STRICT,
    STRUCTURES,
    SYSTEM,
    TOOL,
    name_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from aiquery.requests.request import Message, RequestTemplate

TOOL_NAME = "answer"
_SYSTEM_ROLES = frozenset({"system", "developer"})
PROMPT = "prompt"
CACHED_CHARACTERS = 2_000
"""From this length on a system prompt is offered to the endpoint's cache, where that has to be asked for. The models
cache 512 to 4,096 tokens at least, and ignore the offer of fewer."""

_INSTRUCTION = (
    "Reply with one JSON value and nothing else, without an explanation and without a code fence. It must satisfy this "
    "JSON schema: "
)


class RequestPlan(msgspec.Struct, frozen=True, gc=False):
    """What the requests of a template have in common.

    fields        of the body, besides the model and the messages
    features      which of those that not every model takes they use
    instruction   what the prompt says about the form of the reply; "": nothing
    has_system    False: the system message becomes a part of the first message of the user
    uses_tool     True: the reply is the arguments of a tool call
    changes_messages    True: the messages of a request are not sent as they are
    """

    fields: dict[str, Any]
    features: frozenset[str]
    instruction: str = ""
    has_system: bool = True
    uses_tool: bool = False
    changes_messages: bool = False


class RequestPlans:
    """The plans of one endpoint, by template. A provider has them to leave out what its model does not take."""

    def __init__(
        self,
        structured: str,
        rejected: Iterable[str] = (),
        translate: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        closed_schemas: bool = False,
        one_sampling: bool = False,
    ) -> None:
        """``translate`` turns the fields of OpenAI's format into those of another one.

        ``closed_schemas``: the API takes no schema with an object whose names are not known, such as a MAP.
        ``one_sampling``: it does not take ``temperature`` beside the ``top_p`` of a user.
        """
        self.rejected = set(rejected)
        self._closed_schemas = closed_schemas
        self._one_sampling = one_sampling
        self._structured = structured
        self._translate = translate
        self._plans: dict[bytes, RequestPlan] = {}

    def find(self, template: RequestTemplate) -> RequestPlan:
        """Return the plan of a template."""
        plan = self._plans.get(template.digest)
        if plan is None:
            rejected = self.rejected | self._rejected_for(template)
            plan = build_plan(template, rejected, self._structured)
            if self._translate is not None:
                fields = self._translate(plan.fields)
                plan = msgspec.structs.replace(plan, fields=fields)
            self._plans[template.digest] = plan
        return plan

    def _rejected_for(self, template: RequestTemplate) -> set[str]:
        """Return what the requests of a template lack: ways to constrain a reply that its schema does not allow."""
        names = {way for way in SCHEMAS if name_schema(way, template) in self.rejected}
        if self._one_sampling and "top_p" in template.chosen:
            names.add("temperature")
        inside = (template.response_format or {}).get("json_schema")
        if (
            self._closed_schemas
            and isinstance(inside, dict)
            and is_open(inside.get("schema"))
        ):
            return {*names, *SCHEMAS}
        return names

    def reject(self, features: Iterable[str]) -> None:
        """Plan further requests without these features, or with what takes their place."""
        self.rejected.update(features)
        self._plans.clear()

    def restore(self, features: Iterable[str]) -> None:
        """Plan further requests with these features again."""
        self.rejected.difference_update(features)
        self._plans.clear()


def split_instructions(messages: list[Message]) -> tuple[list[Any], list[Message]]:
    """Return the contents of a conversation's instructions, and its turns: for APIs that take them apart."""
    system = [one["content"] for one in messages if one["role"] in _SYSTEM_ROLES]
    turns = [one for one in messages if one["role"] not in _SYSTEM_ROLES]
    return system, turns


def list_stops(stop: Any) -> Any:
    """Return the value of ``stop``, a text or several, as a list."""
    return [stop] if isinstance(stop, str) else stop


def is_answer_tool(tools: Any) -> bool:
    """Return True for the tool whose arguments are the answer; False for tools that the user gave."""
    if not isinstance(tools, list) or len(tools) != 1 or not isinstance(tools[0], dict):
        return False
    function = tools[0].get("function")
    return isinstance(function, dict) and function.get("name") == TOOL_NAME


def is_answer_choice(name: str, value: Any) -> bool:
    """Return True for the parameter that makes the model use the tool of the answer."""
    if name != "tool_choice" or not isinstance(value, dict):
        return False
    return value.get("function") == {"name": TOOL_NAME}


def build_plan(
    template: RequestTemplate, rejected: Collection[str], structured: str = "auto"
) -> RequestPlan:
    """Return the plan of a template without the features that were rejected.

    ``structured`` fixes how a reply is constrained. What the user set is sent in any case, but ``max_tokens`` may get
    its newer name.
    """
    fields: dict[str, Any] = {}
    features: set[str] = set()
    for name, value in template.parameters.items():
        if name == "max_tokens" and name in rejected:
            fields["max_completion_tokens"] = value
        elif name in template.chosen and name != "max_tokens":
            fields[name] = value
        elif name not in rejected and not _belongs_to(name, rejected):
            fields[name] = value
            features.add(name)
    instruction = ""
    way = ""
    if template.response_format is not None:
        way = _choose_structure(template.response_format, rejected, structured)
        fields |= _constrain(template.response_format, way)
        if way in {JSON_OBJECT, PROMPT}:
            instruction = _instruct(template.response_format)
        if way != PROMPT and structured == "auto":
            features.add(way)
    has_system = SYSTEM not in rejected
    if has_system and (instruction or (template.prompt and template.prompt.system)):
        features.add(SYSTEM)
    return RequestPlan(
        fields,
        frozenset(features),
        instruction,
        has_system=has_system,
        uses_tool=way == TOOL,
        changes_messages=bool(instruction) or not has_system,
    )


def _belongs_to(name: str, rejected: Collection[str]) -> bool:
    return name == "top_logprobs" and "logprobs" in rejected


def _choose_structure(
    response_format: Any, rejected: Collection[str], structured: str
) -> str:
    kind = response_format.get("type")
    if kind == JSON_OBJECT:
        return PROMPT if JSON_OBJECT in rejected else JSON_OBJECT
    if structured == JSON_SCHEMA or kind != JSON_SCHEMA:
        return STRICT
    if structured != "auto":
        return structured
    return next((way for way in STRUCTURES if way not in rejected), PROMPT)


def _constrain(response_format: Any, way: str) -> dict[str, Any]:
    """Return the fields that constrain a reply."""
    if way == STRICT:
        return {"response_format": response_format}
    if way == JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    if way == PROMPT:
        return {}
    inside = response_format["json_schema"]
    if way == JSON_SCHEMA:
        loose = {name: item for name, item in inside.items() if name != "strict"}
        return {"response_format": {"type": "json_schema", "json_schema": loose}}
    function = {
        "name": TOOL_NAME,
        "description": "Gives the answer.",
        "parameters": inside.get("schema", {"type": "object"}),
    }
    choice = {"type": "function", "function": {"name": TOOL_NAME}}
    return {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": choice,
    }


def _instruct(response_format: Any) -> str:
    schema = response_format.get("json_schema", {}).get("schema", {"type": "object"})
    return _INSTRUCTION + json.dumps(schema, ensure_ascii=False)


def arrange_messages(messages: list[Message], plan: RequestPlan) -> list[Message]:
    """Return the messages of a request with the plan's instruction, and without a system message where it has none."""
    if not plan.changes_messages:
        return messages
    messages = list(messages)
    system = ""
    if messages and messages[0].get("role") == "system":
        system = str(messages.pop(0)["content"])
    text = "\n\n".join(filter(None, (system, plan.instruction)))
    if plan.has_system:
        return [{"role": "system", "content": text}, *messages]
    if not text:
        return messages
    first = messages[0]
    content = first["content"]
    joined: object = f"{text}\n\n{content}"
    if isinstance(content, list):
        joined = [{"type": "text", "text": text}, *content]
    return [{**first, "content": joined}, *messages[1:]]
