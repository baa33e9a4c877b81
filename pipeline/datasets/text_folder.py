"""The data set `text-folder`: texts in one of the user's own folders."""

from pathlib import Path

from pipeline.datasets.folders import Folder
from pipeline.datasets.raw import RawData
from pipeline.datasets.text import Text, read_text


class TextFolder(Text, Folder):
    """Texts in a folder of your own: `<class>/*.txt`, or `train/<class>/*.txt` and so on."""

    name: str = "text-folder"

    def load(self, root: Path) -> RawData:
        return self.read(root, (".txt",), lambda files: [*map(read_text, files)])
