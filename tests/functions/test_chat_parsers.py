"""One of several choices in a reply that the model wrote in its own way: found if exactly one is named."""

import pytest

from aiquery.errors import ReplyParseError
from aiquery.functions.ai_classify import MultiLabelParser
from aiquery.functions.chat_parsers import ChoiceParser
from aiquery.requests.request import Response

LABELS = ["billing", "bug", "not urgent", "urgent", "feature request"]
REPLIES = {
    "billing": [
        '{"label": "billing"}',
        "billing",
        "Billing.",
        '"Billing."',
        "**billing**",
        "*Billing*",
        "`billing`",
        "“billing”",
        "- billing",
        "# Billing",
        "Answer: billing",
        "Label: **Billing**",
        "The label is billing.",
        'The best label is "billing", because money is named.',
        "billing\n\nThe text is about an invoice.",
        '{"category": "billing"}',
        'Sure! {"label": "billing"}',
        '```json\n{"label": "Billing"}\n```',
        '{"label": "billing"}\n{"label": "billing"}',
        "(billing)",
        "<label>billing</label>",
    ],
    "not urgent": ["Not urgent.", "Answer: not urgent", "It is not urgent"],
    "urgent": ["This is urgent!"],
    "feature request": ["Category: Feature Request", "feature request (confidence: high)"],
}


@pytest.mark.parametrize(
    ("label", "reply"), [(label, reply) for label, replies in REPLIES.items() for reply in replies]
)
def test_a_choice_that_is_named_once_is_found(label, reply):
    assert ChoiceParser(LABELS).read(Response(text=reply), None) == label


UNCLEAR = [
    "",
    "other",
    "billing or bug",
    "It is not billing",
    "It isn't a bug",
    "none of billing",
    "debugging",
    '{"label": "other"}',
    '{"label": ["billing", "bug"]}',
    '{"first": "billing", "second": "bug"}',
    "billing " + "because of the invoice " * 50,
]


@pytest.mark.parametrize("reply", UNCLEAR)
def test_an_unclear_reply_is_not_guessed(reply):
    with pytest.raises(ReplyParseError, match="none of"):
        ChoiceParser(LABELS).read(Response(text=reply), None)


def test_labels_of_one_letter_are_no_words():
    parser = ChoiceParser(["A", "B", "I"])
    for reply in ("A", "a", "(A)", "Answer: A", "**A**", '{"label": "A"}'):
        assert parser.read(Response(text=reply), None) == "A"
    with pytest.raises(ReplyParseError):
        parser.read(Response(text="It is a B movie"), None)


def test_labels_that_differ_by_a_sign_are_not_confused():
    parser = ChoiceParser(["C", "C#", "C++", "Java"])
    for label in ("C", "C#", "C++"):
        for reply in (label, label.lower(), f'"{label}"', f"{label}.", f"Answer: {label}"):
            assert parser.read(Response(text=reply), None) == label


def test_several_labels_with_something_around_them():
    parser = MultiLabelParser(LABELS, with_confidence=False)
    for reply in (
        '{"labels": ["bug", "billing"]}',
        'Sure: ["Bug", "billing."]',
        '```json\n{"labels": ["bug", "billing"]}',
    ):
        assert parser.read(Response(text=reply), None)["response"] == ["billing", "bug"]
