"""Arguments that had another name before the first release: using one is an error that names the new one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def reject_renamed(**new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Raise a ``TypeError`` for an argument with a former name; ``new_names`` are by former name."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name in new_names:
                    raise TypeError(
                        f"{function.__name__}: the argument {name!r} is now called {new_names[name]}."
                    )
            return function(*args, **kwargs)

        return checked

    return decorate
