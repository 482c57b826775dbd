"""What every peer shares: the prompts, and one line of JSON with rows, seconds and CPU."""

import json
import resource
import sys
import time


def arguments():
    url, rows, concurrency = sys.argv[1:4]
    return (
        url,
        [
            f"Classify the ticket: my card number {i} was lost on the way"
            for i in range(int(rows))
        ],
        int(concurrency),
    )


def cpu_s():
    spent = [
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def measured(ask, prompts):
    wall, cpu = time.monotonic(), cpu_s()
    answers = list(ask())
    wall, cpu = time.monotonic() - wall, cpu_s() - cpu
    assert answers == [f"echo: {prompt}" for prompt in prompts], answers[:2]
    print(json.dumps({"rows": len(answers), "wall_s": wall, "cpu_s": cpu}))


class Bytes:
    """Stands in for a tiktoken encoding, which is a download: a token per four bytes, cheaper than the real one."""

    def encode(self, text, **_):
        return list(text.encode()[::4])

    encode_ordinary = encode

    def encode_batch(self, texts, **_):
        return [self.encode(text) for text in texts]


def without_downloads():
    import tiktoken

    tiktoken.get_encoding = tiktoken.encoding_for_model = lambda _: Bytes()
