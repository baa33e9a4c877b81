"""Download files from the network or a mirror, and check them against the published checksum or content."""

import errno
import lzma
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UserError

MIRROR = "DATA_MIRROR"
"""The environment variable that names a folder or URL to try before the published addresses."""
DOWNLOADS = Path(".cache") / "downloads"
RETRIES = 2
TIMEOUT = 30
"""Seconds to wait for an address to answer."""
CONTENT_ERRORS = (ValueError, KeyError, EOFError, OSError, tarfile.TarError, zlib.error, lzma.LZMAError)
"""Errors that a reader raises if a file has the wrong content."""
T = TypeVar("T")


def fetch(name: str, urls: list[str], root: Path, read: Callable[[Path], T], md5: str | None = None) -> T:
    """Download the file ``name``, unless ``root`` has it already, and decode it with ``read``.

    pooch downloads to a temporary name, retries, checks, and renames. A file that ``read`` refuses is removed.

    Args:
        name: the path of the file under `.cache/downloads` and under a mirror: `mnist/t10k-labels-idx1-ubyte.gz`.
        urls: the published addresses, in the order to try them.
        root: the project's folder.
        read: the function that decodes the file; it raises ValueError, with a reason, if the content is not the
            published one.
        md5: the published checksum, as 32 hexadecimal digits; None to rely on ``read`` alone.

    Raises:
        UserError: no address has the file with the published content.
    """
    import requests

    mirror = os.environ.get(MIRROR)
    addresses = ([f"{mirror.rstrip('/')}/{name}"] if mirror else []) + urls
    failures = []
    for url in addresses:
        try:
            path = _fetch_from(url, name, md5, root / DOWNLOADS)
        except (requests.RequestException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # the disk is full, so no other address can help
            failures.append(f"{url} ({_reason(error)})")
            continue
        try:
            return read(path)
        except CONTENT_ERRORS as error:
            path.unlink()
            failures.append(f"{url} ({_first_line(error)})")
    published = f" (MD5 {md5})" if md5 else ""
    raise UserError(
        f"{name}: cannot be fetched from {', '.join(failures)}; set {MIRROR} to a folder or URL that has it"
        f"{published}, or use the default task, digits-mlp, which needs no download"
    )


def _fetch_from(url: str, name: str, md5: str | None, downloads: Path) -> Path:
    import pooch

    remote = url.startswith(("http://", "https://"))
    registry = pooch.create(
        path=downloads,
        base_url="",
        registry={name: md5 and f"md5:{md5}"},
        urls={name: url},
        retry_if_failed=RETRIES * remote,
    )
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT) if remote else _copy
    return Path(registry.fetch(name, downloader=downloader))


def _copy(source: str, target: str, _: Any) -> None:
    shutil.copyfile(source.removeprefix("file://"), target)


def _reason(error: Exception) -> str:
    import requests

    match error:
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return f"HTTP {status}"
        case requests.Timeout():
            return f"no answer in {TIMEOUT} s"
        case requests.ConnectionError():
            return "no connection"
        case FileNotFoundError():
            return "no such file"
        case OSError():
            return str(error.strerror or error)
    return "its checksum is not the published one"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
