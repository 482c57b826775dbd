"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="The configuration file.")
]
Database: TypeAlias = Annotated[
    str, typer.Option("--database", help="A DuckDB database file.")
]
DialectName: TypeAlias = Annotated[
    str, typer.Option("--dialect", help="duckdb or databricks.")
]
EndpointTargets: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        help="NAME=TARGET: answer the endpoint NAME from a URL, URL#MODEL, another endpoint, or vendor:model.",
    ),
]
KeyVariable: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        help="The environment variable with the key of the URLs of --endpoint.",
    ),
]
MaxCost: TypeAlias = Annotated[
    float | None,
    typer.Option("--max-cost-usd", help="Highest cost in USD; endpoints need a price."),
]
MaxRequests: TypeAlias = Annotated[
    int | None, typer.Option("--max-requests", help="Highest number of requests.")
]
MaxTokens: TypeAlias = Annotated[
    int | None,
    typer.Option("--max-tokens", help="Highest number of tokens, in and out."),
]
MaxSeconds: TypeAlias = Annotated[
    float | None,
    typer.Option("--max-seconds", help="Start no request after this many seconds."),
]
ShowLog: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--log",
        help="Log progress every 30 seconds and at the end, for files and pipes.",
    ),
]
