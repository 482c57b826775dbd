"""Share of the best fixed concurrency that the adaptive limit reaches without configuration, in virtual time.

The best fixed concurrency is found by a sweep over 13 levels, on the same workload and the same endpoint.

    python benchmarks/scheduling.py
"""

import typer
from rich.console import Console
from rich.table import Table

from endpoint_simulator import LEVELS, SCENARIOS, simulate_adaptive, simulate_fixed


def main():
    out = Table("scenario", "one at a time", "best fixed", "at", "found", "share", "re-sent", "most in flight")
    for name in SCENARIOS:
        rates = {slots: simulate_fixed(name, slots).rows_per_s for slots in LEVELS}
        best = max(rates, key=rates.get)
        adaptive = simulate_adaptive(name)
        out.add_row(
            name,
            f"{rates[1]:.1f}",
            f"{rates[best]:.1f}",
            f"{best}",
            f"{adaptive.rows_per_s:.1f}",
            f"{adaptive.rows_per_s / rates[best]:.3f}",
            f"{adaptive.resent:.2%}",
            f"{adaptive.peak}",
        )
    Console(width=120).print(out)


if __name__ == "__main__":
    typer.run(main)
