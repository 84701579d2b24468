"""Files from elsewhere: fetched once, checked, unpacked where they can do no harm."""

from retrieval_core.download.answers import Patience
from retrieval_core.download.archives import unpack
from retrieval_core.download.files import Receipt, RemoteFile, read_receipt
from retrieval_core.download.transfer import download, download_all, verify

__all__ = [
    "Patience",
    "Receipt",
    "RemoteFile",
    "download",
    "download_all",
    "read_receipt",
    "unpack",
    "verify",
]
