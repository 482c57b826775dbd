# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["lotus-ai"]
# ///
"""The queries of ``needed.py`` in LOTUS: cheap conditions and joins by pandas, then ``sem_filter``."""

import json
import sys

import lotus
import pandas as pd
from lotus.models import LM

URL, FOLDER, PRAISES, SLOW = sys.argv[1:]
films = pd.read_csv(f"{FOLDER}/films.csv")
reviews = pd.read_csv(f"{FOLDER}/reviews.csv")


def praise(frame):
    return frame.sem_filter(f"{PRAISES} The review: {{text}}")


def slow(frame):
    return frame.sem_filter(f"{SLOW} The review: {{text}}")


def films_with_a_praise():
    recent = films[films.year > 2015]
    praised = praise(reviews[reviews.film.isin(recent.film)])
    return recent[recent.film.isin(praised.film)]


QUERIES = {
    "reviews of one film": lambda: praise(reviews[reviews.film == 7]),
    "any 5": lambda: praise(reviews).head(5),
    "the newest 10": lambda: praise(reviews.sort_values("posted", ascending=False)).head(10),
    "join": lambda: praise(reviews.merge(films[films.year == 2001], on="film")),
    "films with a praise": films_with_a_praise,
    "is there one": lambda: slow(reviews).head(1),
    "two conditions": lambda: slow(praise(reviews)),
    "count": lambda: praise(reviews),
}


def say(**fields):
    print(json.dumps(fields), flush=True)
    sys.stdin.readline()


lotus.settings.configure(lm=LM(model="openai/m", api_base=URL, api_key="none", max_batch_size=64))
for name, query in QUERIES.items():
    say(begin=name)
    rows = len(query())
    say(end=name, rows=rows)
