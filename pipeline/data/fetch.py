"""Files from the network or a mirror, held to their published checksums."""

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pooch
import requests

from pipeline.errors import UserError

MIRROR = "DATA_MIRROR"
"""The environment variable that names a folder or a URL to ask before the published addresses."""
RETRIES = 2
TIMEOUT = 30
"""Seconds without an answer before an address is given up."""


def fetch(name: str, md5: str, urls: list[str], downloads: Path) -> Path:
    """The file ``name`` in ``downloads``; fetched only if it is not there already with this checksum.

    pooch downloads with retries to a temporary name, checks, and renames.

    Args:
        name: its path under ``downloads`` and under a mirror, such as `mnist/t10k-labels-idx1-ubyte.gz`.
        md5: the published checksum, as 32 hexadecimal digits.
        urls: the published addresses, in the order of asking.

    Raises:
        UserError: no address had it, or what they had was something else.
    """
    mirror = os.environ.get(MIRROR)
    failures = []
    for url in ([f"{mirror.rstrip('/')}/{name}"] if mirror else []) + urls:
        try:
            return _fetch_from(url, name, md5, downloads)
        except (requests.RequestException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # not the address's fault
            failures.append(f"{url} ({_reason(error)})")
    raise UserError(
        f"{name}: not to be had from {', '.join(failures)}; set {MIRROR} to a folder or URL that holds it "
        f"(MD5 {md5}), or take the default task, digits-mlp, which needs no download"
    )


def _fetch_from(url: str, name: str, md5: str, downloads: Path) -> Path:
    remote = url.startswith(("http://", "https://"))
    registry = pooch.create(
        path=downloads, base_url="", registry={name: f"md5:{md5}"}, urls={name: url}, retry_if_failed=RETRIES * remote
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
