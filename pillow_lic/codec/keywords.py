"""Options as the keywords of functions that take **options.

Imports the standard library.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Call = TypeVar("Call", bound=Callable[..., Any])


def keywords(*kinds: type) -> Callable[[Call], Call]:
    """Let a function that takes **options show the fields of classes as its keywords, to help() and to editors.

    Where its docstring has a line {options}, what the first class says of its fields is put in.
    """

    def shown(function: Call) -> Call:
        plain = inspect.signature(function)
        fixed = [one for one in plain.parameters.values() if one.kind is not one.VAR_KEYWORD]
        named = [one for kind in kinds for one in inspect.signature(kind).parameters.values()]
        listed = [*fixed, *(one.replace(kind=one.KEYWORD_ONLY) for one in named)]
        function.__signature__ = plain.replace(parameters=listed)  # type: ignore[attr-defined]
        if function.__doc__ and kinds[0].__doc__:
            fields = kinds[0].__doc__.partition("\n\n")[2].strip()
            function.__doc__ = function.__doc__.replace("{options}", fields)
        return function

    return shown
