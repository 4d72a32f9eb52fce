"""Arrays that go into every system and come out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Scores, or vectors: a row for each user.
FloatMatrix = NDArray[np.float32]
#: Places of users or items in their vocabulary.
Rows = NDArray[np.integer[Any]]
