"""files: an image is sent with the text, its type is read from its bytes, and other bytes are a row error."""

import base64

import pytest

IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n" + b"0" * 20,
    "image/jpeg": b"\xff\xd8\xff\xe0" + b"0" * 20,
    "image/gif": b"GIF89a" + b"0" * 20,
    "image/webp": b"RIFF\0\0\0\0WEBP" + b"0" * 20,
}


@pytest.mark.parametrize("media_type", IMAGES)
def test_an_image_is_sent_with_the_text(engine, endpoint, media_type):
    sql = engine(m=endpoint.endpoint())
    sql.table(s=["What is this?"], f=[IMAGES[media_type]])
    sql.rows("SELECT ai_query('m', s, files => f) FROM t")
    text, image = endpoint.requests[0].body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    data = base64.b64encode(IMAGES[media_type]).decode()
    assert image["image_url"]["url"] == f"data:{media_type};base64,{data}"


def test_other_bytes_are_a_row_error_and_null_sends_the_text_alone(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    sql.table(id=[1, 2], s=["a", "b"], f=[b"%PDF-1.7", None])
    rows = sql.rows("SELECT ai_query('m', s, files => f, failOnError => false) FROM t ORDER BY id")
    assert "JPEG, PNG, GIF or WebP" in rows[0][0]["errorMessage"]
    assert rows[1][0] == {"result": "echo: b", "errorMessage": None}


def test_another_image_is_another_request(engine, endpoint):
    sql = engine(m=endpoint.endpoint())
    png = IMAGES["image/png"]
    sql.table(s=["q", "q", "q"], f=[png, png, png + b"1"])
    sql.rows("SELECT ai_query('m', s, files => f) FROM t")
    assert endpoint.calls == 2
