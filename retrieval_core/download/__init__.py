"""Files from elsewhere: fetched once, checked, unpacked where they can do no harm."""

from retrieval_core.download.answers import Patience
from retrieval_core.download.archives import check_archive, unpack
from retrieval_core.download.files import Receipt, RemoteFile, forget, read_receipt
from retrieval_core.download.transfer import download, download_all, verify

__all__ = [
    "Patience",
    "Receipt",
    "RemoteFile",
    "check_archive",
    "download",
    "download_all",
    "forget",
    "read_receipt",
    "unpack",
    "verify",
]
