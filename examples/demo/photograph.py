"""The demo's photograph: the face of scikit-image's astronaut (Eileen Collins, a NASA picture in the public domain)."""

import numpy as np
import skimage.data
from PIL import Image

# Left and top corner of the face and the side of its square, in pixels of the 512 x 512 photograph. The side is twice the model's, so
# that halving is an exact mean of four pixels, the same on every machine.
LEFT, TOP, SIDE = 164, 50, 128


def face():
    """The face in colour, SIDE x SIDE."""
    return Image.fromarray(skimage.data.astronaut()).crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE))


def model_input():
    """The face as the emotion model wants it: (1, 64, 64, 1), grey, from -1 to 1."""
    grey = np.asarray(face().convert("L"), np.float32)
    small = grey.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3), dtype=np.float32)
    return ((small / np.float32(255) - np.float32(0.5)) * np.float32(2))[None, :, :, None]
