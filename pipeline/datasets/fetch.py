"""A function that downloads a file from a mirror or an official URL, and checks that it is the published file."""

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
"""The environment variable that holds a folder or URL to try before the official URLs."""
DOWNLOADS = Path(".cache") / "downloads"
RETRIES = 2
TIMEOUT = 30
"""Number of seconds to wait for a server to answer."""
CONTENT_ERRORS = (ValueError, KeyError, EOFError, OSError, tarfile.TarError, zlib.error, lzma.LZMAError)
"""Exceptions that can occur when a downloaded file with the wrong content is read."""
T = TypeVar("T")


def fetch(name: str, urls: list[str], root: Path, read: Callable[[Path], T], md5: str | None = None) -> T:
    """Download the file ``name`` unless it is already under ``root``, and return its content as decoded by ``read``.

    pooch downloads the file under a temporary name, retries if the download fails, checks the file, and renames it. If
    ``read`` rejects a file, the file is deleted, and the next URL is tried.

    Args:
        name: the path of the file under `.cache/downloads` and on a mirror, such as `mnist/t10k-labels-idx1-ubyte.gz`.
        urls: the official addresses to try, in this order.
        root: the project's folder.
        read: a function that decodes the file, or raises a ValueError with the reason if this is not the published
            file.
        md5: the published MD5 checksum, as 32 hexadecimal digits, or None if only ``read`` checks the content.

    Raises:
        UserError: none of the URLs provides the published file.
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
                raise  # the disk is full, so another URL would not help
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
