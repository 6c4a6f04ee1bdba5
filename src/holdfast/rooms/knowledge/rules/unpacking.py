"""The packed terms of many chunks at once, as `words.packed` writes those of one.

Apart from it, so that what makes chunks loads no numpy.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def unpacked(packed: Sequence[bytes]) -> tuple[list[int], npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """How many terms each chunk has; and of all of them, in order, the signature and how often it occurs."""
    sizes = [len(part) // 5 for part in packed]
    signs = b"".join([part[: 4 * n] for part, n in zip(packed, sizes, strict=True)])
    times = b"".join([part[4 * n :] for part, n in zip(packed, sizes, strict=True)])
    return sizes, np.frombuffer(signs, "<u4"), np.frombuffer(times, np.uint8)
