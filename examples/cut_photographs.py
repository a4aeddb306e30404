# 210 small photographs to try the program with, cut from the sample pictures of scikit-image.
#
#     pip install scikit-image          (in an environment of its own: this project does not need it)
#     python examples/cut_photographs.py photographs
#
# The pictures come with the package: nothing is downloaded. The description of each function in skimage.data says who
# made it; all may be used freely.
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

PICTURES = (
    "astronaut",
    "chelsea",
    "coffee",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "rocket",
)
OF_EACH, SIZE = 30, 128

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
draw = np.random.default_rng(0)
for name in PICTURES:
    picture = getattr(data, name)()
    for number in range(OF_EACH):
        top, left = (draw.integers(0, length - SIZE + 1) for length in picture.shape[:2])
        cut = picture[top : top + SIZE, left : left + SIZE]
        Image.fromarray(cut).save(folder / f"{name}-{number:02d}.jpg", quality=92)
print(f"{len(PICTURES) * OF_EACH} photographs of {SIZE}x{SIZE} pixels in {folder}")
