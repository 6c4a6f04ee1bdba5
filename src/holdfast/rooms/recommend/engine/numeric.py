"""NumPy and SciPy, which only this room needs: whether they are there, and how many threads they may take."""

import os
from importlib.util import find_spec

from holdfast.kernel.errors import Misconfigured

INSTALL = "pip install 'holdfast[recommend]'"


def missing() -> list[str]:
    """The names of the packages this room lacks; finds them without importing them."""
    return [name for name in ("numpy", "scipy") if find_spec(name) is None]


def prepare() -> None:
    """Make ready for the first import of numpy; raises Misconfigured with the line to install.

    A matrix product of one request on many threads makes two requests fight for the same cores, so BLAS
    gets one thread unless the environment says otherwise. Without effect when numpy was imported before.
    """
    absent = missing()
    if absent:
        raise Misconfigured(f"recommendations need {' and '.join(absent)}", hint=INSTALL)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
