"""Names from before the first release: using one of an argument, attribute or module is an error with the new one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


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


def rename_attributes(**new_names: str) -> Callable[[type[C]], type[C]]:
    """Raise an ``AttributeError`` for an attribute with a former name. Type checkers see no such attribute."""

    def decorate(owner: type[C]) -> type[C]:
        def reject(self: C, name: str) -> NoReturn:
            owner_name = type(self).__name__
            if name in new_names:
                raise AttributeError(
                    f"{owner_name}.{name} is now called {new_names[name]}."
                )
            raise AttributeError(f"{owner_name!r} object has no attribute {name!r}")

        owner.__getattr__ = reject  # type: ignore[attr-defined]
        return owner

    return decorate


def raise_moved(old: str, new: str) -> NoReturn:
    """Raise an ``ImportError`` for a module that has another name."""
    raise ImportError(f"the module {old} is now called {new}.")
