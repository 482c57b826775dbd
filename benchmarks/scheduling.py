"""Share of the best fixed concurrency that the search reaches without configuration, in virtual time.

The best fixed concurrency is found by a sweep over 13 levels, on the same workload and the same endpoint.

    python benchmarks/scheduling.py
"""

import typer
from rich.console import Console
from rich.table import Table

from endpoint_simulator import LEVELS, SCENARIOS, with_fixed, with_seeking


def main():
    out = Table(
        "scenario",
        "one at a time",
        "best fixed",
        "at",
        "found",
        "share",
        "re-sent",
        "most in flight",
    )
    for name in SCENARIOS:
        sweep = {places: with_fixed(name, places) for places in LEVELS}
        best = max(sweep, key=lambda places: sweep[places].rows_per_s)
        found = with_seeking(name)
        share = found.rows_per_s / sweep[best].rows_per_s
        cells = (
            f"{sweep[1].rows_per_s:.1f}",
            f"{sweep[best].rows_per_s:.1f}",
            f"{best}",
            f"{found.rows_per_s:.1f}",
        )
        out.add_row(
            name, *cells, f"{share:.3f}", f"{found.resent:.2%}", f"{found.peak}"
        )
    Console(width=120).print(out)


if __name__ == "__main__":
    typer.run(main)
