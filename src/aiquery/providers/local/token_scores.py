"""Chooses one of a few values by the model's probability of each: the prompt is read, and nothing is written.

The permitted replies are a tree of tokens. Where it branches, one call gives the probability of each
branch; the probability of a reply is the product along its path. Labels that begin with different
tokens need one call.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aiquery.providers.local.references import reference_texts
from aiquery.providers.local.shared_prompt import count_shared
from aiquery.requests.chat import build_messages
from aiquery.requests.closed_reply import list_closed_replies
from aiquery.requests.request import Request, Response, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from aiquery.providers.local.chat_model import ChatModel
    from aiquery.providers.local.shared_prompt import SharedPrompts
    from aiquery.requests.request import Message, RequestTemplate

    ScoreTokens = Callable[[list[int], list[int]], dict[int, float]]

CALIBRATION_TEXTS = 16
"""Reference texts that calibrate: the first ones. 64 are no better (accuracy 0.687 against 0.673 on 150 sentiments,
0.520 against 0.527 with another wording), and a large model reads them slowly."""

_MAX_TEMPLATES = 64
"""Calls whose calibration is in memory at most."""


class _Tree(NamedTuple):
    """The permitted replies, the tokens that all of them begin with, and how each goes on."""

    replies: list[str]
    start: list[int]
    paths: list[list[int]]


class TokenChooser:
    """Chooses values with a chat model."""

    def __init__(self, model: ChatModel, shared_prompts: SharedPrompts) -> None:
        """``model`` is open as long as this object is used."""
        self._llama = model.llama
        self._slots = model.slots
        self._shared_prompts = shared_prompts
        self._trees: dict[bytes, _Tree] = {}
        self._usual: OrderedDict[bytes, asyncio.Task[Any]] = OrderedDict()

    async def choose(self, request: Request) -> Response:
        """Return the most probable reply, and its probability. Raises ``RowError``.

        A request whose content is the text of a row, and nothing else, is calibrated by the reference texts.
        """
        scores, tokens = await self._run(request)
        if request.template.prompt is not None and isinstance(request.content, str):
            scores = scores - await self._find_usual(request)
        powers = np.exp(scores - scores.max())
        best = int(powers.argmax())
        return Response(
            text=self._find_tree(request.template).replies[best],
            usage=Usage(tokens),
            confidence=round(float(powers[best] / powers.sum()), 6),
        )

    async def _find_usual(self, request: Request) -> Any:
        """Return the mean scores of the reference texts, which are computed once per call."""
        key = request.template.digest
        task = self._usual.get(key)
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.create_task(self._compute_usual(request))
            self._usual[key] = task
            if len(self._usual) > _MAX_TEMPLATES:
                self._usual.popitem(last=False)
        # A row that is cancelled must not cancel what other rows wait for.
        return await asyncio.shield(task)

    async def _compute_usual(self, request: Request) -> Any:
        texts = reference_texts()[:CALIBRATION_TEXTS]
        requests = [Request(request.template, text) for text in texts]
        found = await asyncio.gather(*map(self._run, requests))
        return np.mean([scores for scores, _ in found], axis=0)

    async def _run(self, request: Request) -> tuple[Any, int]:
        messages = build_messages(request)
        call = request.template.digest
        saved_prompt = await self._shared_prompts.find(call, messages)
        return await self._slots.run(
            lambda job: self._score(request, messages, job.slot), saved_prompt
        )

    def _score(
        self, request: Request, messages: list[Message], slot: int
    ) -> tuple[Any, int]:
        """Return the log-probability of each reply, and the tokens of the prompt. Raises ``RowError``."""
        tree = self._find_tree(request.template)
        prompt = self._llama.tokenize_chat(messages) + tree.start
        score_tokens = partial(self._llama.score_tokens, slot=slot)
        return score_paths(prompt, tree.paths, score_tokens), len(prompt)

    def _find_tree(self, template: RequestTemplate) -> _Tree:
        """Return the permitted replies, which are tokenized once per call."""
        found = self._trees.get(template.digest)
        if found is None:
            replies = list_closed_replies(template.response_format) or []
            start, paths = split_paths([self._llama.tokenize(one) for one in replies])
            found = _Tree(replies, start, paths)
            self._trees[template.digest] = found
        return found


def score_paths(
    prompt: list[int], paths: Sequence[list[int]], score_tokens: ScoreTokens
) -> npt.NDArray[np.float64]:
    """Return the log-probability of each path of tokens after a prompt.

    ``score_tokens`` returns the probability of each of some tokens after a prompt; it is called once per
    branching point.
    """
    scores = np.zeros(len(paths))

    def visit(members: list[int], depth: int) -> None:
        branches: dict[int, list[int]] = {}
        for i in members:
            branches.setdefault(paths[i][depth], []).append(i)
        if len(branches) > 1:
            start = prompt + paths[members[0]][:depth]
            probabilities = score_tokens(start, list(branches))
            for token, inside in branches.items():
                scores[inside] += math.log(probabilities[token])
        for inside in branches.values():
            if len(inside) > 1:
                visit(inside, depth + 1)

    visit(list(range(len(paths))), 0)
    return scores


def split_paths(replies: Sequence[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Return the tokens that all replies begin with, and the rest of each."""
    shared = count_shared(replies)
    return replies[0][:shared], [reply[shared:] for reply in replies]
