"""Optional packages: asked for where they are needed, with the extra that brings them."""

from __future__ import annotations

from importlib.util import find_spec

from pose2id.errors import MissingDependencyError


def require(extra: str, *modules: str, purpose: str) -> None:
    """Checks that optional packages are installed, without importing them.

    Args:
        extra: The extra of `pose2id` that brings them.
        modules: Names under which they are imported.
        purpose: What needs them, as the message's first words.

    Raises:
        MissingDependencyError: One of them is not there.

    Example:
        >>> require("generation", "no_such_package", purpose="Drawing pictures")
        Traceback (most recent call last):
        ...
        pose2id.errors.MissingDependencyError: Drawing pictures needs no_such_package, which is \
not installed: pip install 'pose2id[generation]' (in a checkout: pip install -e '.[generation]')
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(
            f"{purpose} needs {', '.join(missing)}, which is not installed: "
            f"pip install 'pose2id[{extra}]' (in a checkout: pip install -e '.[{extra}]')"
        )
