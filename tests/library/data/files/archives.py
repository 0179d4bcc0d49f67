"""Writes the NumPy archives of this folder: python3 archives.py (NumPy 2 wrote those that are committed)."""

import numpy as np

x = np.array([[0.5, 2.0], [1.5, -3.0], [2.25, 1.0], [0.125, 8.0]], np.float16)
y = np.array(["up", "down", "up", "down"])
np.savez("stored.npz", X=x.astype(">f4"), labels=y)
np.savez_compressed("packed.npz", x=x, y=y)
np.savez("alone.npz", anything=np.column_stack([x, [0, 1, 0, 1]]))
np.savez("three.npz", x=x, y=y, z=y)
