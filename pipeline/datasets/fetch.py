"""Files from the network or a mirror, held to what is published of them."""

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

import pooch
import requests

from pipeline.errors import UserError

MIRROR = "DATA_MIRROR"
"""The environment variable that names a folder or a URL to ask before the published addresses."""
DOWNLOADS = Path(".cache") / "downloads"
RETRIES = 2
TIMEOUT = 30
"""Seconds without an answer before an address is given up."""
CONTENT_ERRORS = (ValueError, KeyError, EOFError, OSError, tarfile.TarError, zlib.error, lzma.LZMAError)
"""Errors of a reader whose file is not what it should be."""
T = TypeVar("T")


def fetch(name: str, urls: list[str], root: Path, read: Callable[[Path], T], md5: str | None = None) -> T:
    """Fetch the file ``name``, unless it is under ``root`` already, and decode it with ``read``.

    pooch downloads with retries to a temporary name, checks, and renames. A file that ``read`` refuses is removed.

    Args:
        name: its path under `.cache/downloads` and under a mirror, such as `mnist/t10k-labels-idx1-ubyte.gz`.
        urls: the published addresses, in the order of asking.
        root: the project's folder.
        read: decodes the file; it raises ValueError, with a reason, if the content is not what is published.
        md5: the published checksum, as 32 hexadecimal digits; None where packings differ and the content decides.

    Raises:
        UserError: no address had it, or what they had was something else.
    """
    mirror = os.environ.get(MIRROR)
    addresses = ([f"{mirror.rstrip('/')}/{name}"] if mirror else []) + urls
    failures = []
    for url in addresses:
        try:
            path = _fetch_from(url, name, md5, root / DOWNLOADS)
        except (requests.RequestException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # not the address's fault
            failures.append(f"{url} ({_reason(error)})")
            continue
        try:
            return read(path)
        except CONTENT_ERRORS as error:
            path.unlink()
            failures.append(f"{url} ({_first_line(error)})")
    published = f" (MD5 {md5})" if md5 else ""
    raise UserError(
        f"{name}: not to be had from {', '.join(failures)}; set {MIRROR} to a folder or URL that holds it"
        f"{published}, or take the default task, digits-mlp, which needs no download"
    )


def _fetch_from(url: str, name: str, md5: str | None, downloads: Path) -> Path:
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
