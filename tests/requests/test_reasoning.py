"""Reasoning before an answer is no part of it, for text, JSON and labels; a reply of nothing else is an error."""

import pytest

from aiquery.errors import InvalidResponse, ReplyParseError
from aiquery.requests.reasoning import find_answer, read_answer
from aiquery.requests.request import Response

REPLIES = {
    "closed": "<think>\nlet me see\n</think>\n\nblue",
    "empty": "<think>\n\n</think>\n\nblue",
    "no line break": "<think>hm</think>blue",
    "large letters": "<THINK>hm</THINK>blue",
    "blanks before": "\ufeff \n<think>hm</think> blue",
    "the template opened it": "let me see, red? no\n</think>\n\nblue",
    "magistral": "[THINK]let me see[/THINK]blue",
    "magistral, opened": "let me see[/THINK]blue",
    "kimi": "◁think▷hm◁/think▷blue",
    "seed": "<seed:think>hm</seed:think>blue",
    "openthinker": "<|begin_of_thought|>\nhm\n<|end_of_thought|>\n<|begin_of_solution|>\nblue\n<|end_of_solution|>",
    "command": "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>blue<|END_RESPONSE|>",
    "gemma": "<|channel>thought\nhm<channel|>blue",
    "medgemma": "<unused94>thought\nhm<unused95>blue",
    "gpt-oss": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>blue<|return|>",
    "thinking": "<thinking>hm</thinking>\nblue",
    "reflection": "<reflection>hm</reflection>\nblue",
}


@pytest.mark.parametrize("name", REPLIES)
def test_reasoning_is_no_part_of_the_answer(name):
    assert find_answer(REPLIES[name]) == "blue"


UNCHANGED = [
    "",
    "blue",
    " blue\n",
    "<b>blue</b>",
    "I think it is blue",
    "A model writes <think> before its reasoning",
    "<answer>blue</answer>",
    "<analysis>why</analysis>blue",
    "<thinking>I ask for this tag",
    "[thinking about it] blue",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_other_texts_stay_as_they_are(text):
    assert find_answer(text) is text


@pytest.mark.parametrize("text", ["", "<think>still at it", "<think>done</think>", "<|channel|>analysis<|message|>hm"])
def test_reasoning_that_used_up_the_tokens_is_an_error_that_names_the_limit(text):
    with pytest.raises(ReplyParseError, match="used up by reasoning; raise the endpoint's max_tokens") as error:
        read_answer(Response(text=text, truncated=True))
    assert not error.value.repairable


@pytest.mark.parametrize("text", ["<think>still at it", "<think>done</think>\n"])
def test_only_reasoning_is_an_error(text):
    with pytest.raises(ReplyParseError, match="only reasoning"):
        read_answer(Response(text=text))


def test_an_empty_answer_stays_empty_and_a_cut_one_stays():
    assert read_answer(Response(text="")).text == ""
    assert read_answer(Response(text="the sky is", truncated=True)).text == "the sky is"
    assert read_answer(Response(text="<think>hm</think>the sky is", truncated=True)).text == "the sky is"


def test_a_refusal_is_an_error_with_its_text():
    with pytest.raises(InvalidResponse, match="I cannot help with that"):
        read_answer(Response(refusal="the model refused: 'I cannot help with that'"))
