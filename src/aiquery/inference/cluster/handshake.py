"""How a worker and the coordinator show each other that they know the token. The token itself is never sent.

Each side sends a random challenge and answers the other one with an HMAC (RFC 2104, SHA-256) of both. A recorded
exchange is worth nothing: the next one has other challenges. All messages have a fixed length, below 1 KiB, and nothing
is decoded before the other side is known.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets

GREETING = b"aiquery 1 "
CHALLENGE_BYTES = 32
PROOF_BYTES = hashlib.sha256().digest_size


async def accept_worker(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    """Let a worker in. Raises ``ConnectionError`` for a peer that does not know ``token``."""
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    writer.write(GREETING + challenge)
    theirs = await _read(reader, CHALLENGE_BYTES)
    proof = await _read(reader, PROOF_BYTES)
    if not hmac.compare_digest(proof, _prove(token, b"worker", challenge, theirs)):
        raise ConnectionError("a peer does not know the token")
    writer.write(_prove(token, b"coordinator", challenge, theirs))


async def greet_coordinator(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    """Introduce a worker. Raises ``ConnectionError`` if the other side does not know ``token``."""
    greeting = await _read(reader, len(GREETING))
    if greeting != GREETING:
        raise ConnectionError("another program, or another version, listens there")
    challenge = await _read(reader, CHALLENGE_BYTES)
    own = secrets.token_bytes(CHALLENGE_BYTES)
    writer.write(own + _prove(token, b"worker", challenge, own))
    proof = await _read(reader, PROOF_BYTES)
    if not hmac.compare_digest(proof, _prove(token, b"coordinator", challenge, own)):
        raise ConnectionError("another coordinator listens there")


def _prove(token: str, role: bytes, challenge: bytes, own: bytes) -> bytes:
    return hmac.digest(token.encode(), role + challenge + own, hashlib.sha256)


async def _read(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the other side closed the connection") from error
