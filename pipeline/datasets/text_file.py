"""The data set `text-file`: the user's own text for a language model."""

from pathlib import Path

from pipeline.datasets.raw import RawData
from pipeline.datasets.text import read_text
from pipeline.datasets.tokens import Tokens
from pipeline.errors import UserError
from pipeline.settings import UserPath


class TextFile(Tokens):
    """A text of your own, for a language model: a UTF-8 file, or a folder of UTF-8 files.

    The files in a folder are joined in the order of their paths. Hidden files and folders are ignored.
    """

    name: str = "text-file"
    path: UserPath
    """The path of the file or the folder."""

    @property
    def files(self) -> list[str]:
        return [self.path]

    def load(self, root: Path) -> RawData:
        path = root / self.path
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            files = sorted(file for file in inside if not any(part[0] == "." for part in file.relative_to(path).parts))
        elif path.is_file():
            files = [path]
        else:
            raise UserError(
                f"{path}: no such file or folder; set the dataset's path, from the project's root or absolute"
            )
        text = "\n".join(filter(None, (read_text(file, "utf-8-sig") for file in files)))
        if not text:
            raise UserError(f"{path}: contains no text")
        return self.split(self.path, text)
