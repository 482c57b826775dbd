"""Error messages of endpoints: the text is too long, or the error has another reason."""

import pytest

from aiquery.providers.too_long import find_fitting_share

SHARES = {
    "This model's maximum context length is 8192 tokens, however you requested 9001 tokens (9001 in your prompt; 0 for "
    "the completion).": 8192 / 9001,
    "This model's maximum context length is 8192 tokens. However, you requested 16384 tokens in the input for "
    "embedding generation. Please reduce the length of the input.": 0.5,
    "Input validation error: `inputs` must have less than 512 tokens. Given: 1024": 0.5,
    "The input (9001 tokens) is longer than the model's context length (8192 tokens).": 8192 / 9001,
    "input (640 tokens) is too large to process. increase the physical batch size (current batch size: 512)": 0.8,
    "too many tokens: total number of tokens in the prompt cannot exceed 4,081 - received 8,162.": 0.5,
    "prompt is too long: 205000 tokens > 200000 maximum": 200 / 205,
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).": 1048576 / 1200000,
}
UNKNOWN = [
    "Invalid 'input': maximum input length is 8192 tokens.",
    "the request exceeds the available context size",
    "Input is too long for requested model.",
    "text-embedding-3-large-20240229: maximum context length exceeded (request id req_7781 at 2026-11-26T08:00:12Z)",
    "model e5-mistral-7b-4096: input too long; request 20261126 host 10.0.12.77:8080",
    "the maximum input length is 512 tokens; trace 99999999999999",
]
NOT_THE_TEXT = [
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, you provided 100000.",
    "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 8192 tokens.",
    "max_output_tokens must be at least 16",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "temperature must be between 0 and 2",
]


@pytest.mark.parametrize("message", SHARES)
def test_the_numbers_of_the_message_give_the_share_that_fits(message):
    assert find_fitting_share(400, message) == pytest.approx(0.95 * SHARES[message])


@pytest.mark.parametrize("message", UNKNOWN)
def test_a_half_if_the_message_has_no_numbers(message):
    assert find_fitting_share(400, message) == 0.5


@pytest.mark.parametrize("message", NOT_THE_TEXT)
def test_the_text_is_not_too_long(message):
    assert find_fitting_share(400, message) is None


def test_the_status_decides_if_the_message_is_read():
    assert find_fitting_share(413, "Payload Too Large") == 0.5
    assert find_fitting_share(500, "maximum context length") is None
