"""What a file system raises for a path that cannot be used, and for a disk without room."""

import errno

# no folder, no file, or not ours
UNUSABLE = (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# numpy and safetensors raise errors without a number
_FULL_WORDS = ("No space left", "Not enough free space", "File too large", "requested and")


def is_full(error: Exception) -> bool:
    """Whether it was raised because the disk, or the user's share of it, is full."""
    known = isinstance(error, OSError) and error.errno in _FULL
    return known or any(words in str(error) for words in _FULL_WORDS)
