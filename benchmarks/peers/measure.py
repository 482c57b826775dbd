"""The prompts of every peer, and the output of a peer: one line of JSON with rows, seconds and CPU."""

import json
import resource
import sys
import time


def parse_arguments():
    url, rows, concurrency = sys.argv[1:4]
    prompts = [f"Classify the ticket: my card number {i} was lost on the way" for i in range(int(rows))]
    return url, prompts, int(concurrency)


def read_cpu_s():
    usages = [resource.getrusage(processes) for processes in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(answer, prompts):
    """Call ``answer``, which returns an answer for each prompt, and print its figures."""
    started = time.monotonic()
    cpu_before = read_cpu_s()
    answers = list(answer())
    figures = {"rows": len(answers), "wall_s": time.monotonic() - started, "cpu_s": read_cpu_s() - cpu_before}
    assert answers == [f"echo: {prompt}" for prompt in prompts], answers[:2]
    print(json.dumps(figures))


class Bytes:
    """Replaces a tiktoken encoding, which is a download: a token per four bytes, which costs less CPU."""

    def encode(self, text, **_):
        return list(text.encode()[::4])

    encode_ordinary = encode

    def encode_batch(self, texts, **_):
        return [self.encode(text) for text in texts]


def replace_tiktoken():
    import tiktoken

    tiktoken.get_encoding = tiktoken.encoding_for_model = lambda _: Bytes()
