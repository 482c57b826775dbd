"""The limits of everything that comes from outside: replies, frames, texts in errors, nesting.

What exceeds one of them is refused with an error that names the limit. It is never cut in silence.
"""

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""Bytes of the body of a reply, counted while it is decompressed. An answer of 128,000 tokens has about 0.5 MB."""

MAX_VECTOR_BYTES = 128 * 1024
"""Bytes of the JSON of one embedding. 4,096 numbers with 17 digits take 90 kB."""

MAX_BATCH_REPLY_BYTES = 24 * 1024 * 1024
"""Bytes of the body of a reply to a batch of texts."""

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of a reply that are not its body: status line, headers, trailers and chunk extensions."""

MAX_CONTAINERS = 200_000
"""Objects and arrays in the JSON of a reply. An empty one takes 2 bytes on the wire and about 70 in memory."""

MAX_JSON_CHARACTERS = 1024 * 1024
"""Characters of an answer that is read as JSON. Its values may take 50 times as much memory."""

MAX_JSON_DEPTH = 100
"""Levels of objects and arrays in an answer, or in a constant of a statement, that is read as JSON."""

MAX_TYPE_DEPTH = 32
"""Levels of ARRAY, MAP and STRUCT in a type. Arrow passes 64 between libraries."""

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of the JSON of a server's error. Of a longer one only the beginning is shown."""

MAX_ERROR_TEXT = 500
"""Characters of outside text (a request, a reply, a message of a server) in an error."""

MAX_KEY_BYTES = 16 * 1024
"""Bytes of a key that a file or a command gives. A signed token of a cloud has about 2 kB."""
