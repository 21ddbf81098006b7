"""The pictures in the documentation, from the pages of a run: `make screenshots`."""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.browser.chromium import PANEL, WIDE, chromium, opened

PAGES = ("report", "training-lstm")
HEIGHT = 1600  # pixels: the top of a page


def main(pages: Path, pictures: Path) -> None:
    with chromium() as browser:
        for name in PAGES:
            for width in (WIDE, PANEL):
                with opened(browser, pages / f"{name}.html", width=width, height=HEIGHT) as page:
                    picture = Image.open(BytesIO(page.tab.screenshot()))
                path = pictures / f"{name}-{width}.png"
                picture.convert("RGB").quantize().save(path, optimize=True)
                print(path, path.stat().st_size)


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:]))
