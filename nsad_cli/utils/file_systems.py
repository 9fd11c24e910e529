"""The file system that a path is on, and whether other hosts can change its files."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path, PurePosixPath

NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "smbfs", "ceph", "beegfs", "afs", "glusterfs", "wekafs"),
        *("panfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "ncpfs", "coda"),
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"),  # shared with the host of a virtual machine
        *("fuse.sshfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs", "fuse.mfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3", "fuse.vmhgfs-fuse"),
    }
)
"""Types on which another kernel can change a file. All others, unknown FUSE types among them, are taken for local."""
MOUNTS = Path("/proc/self/mountinfo")


def file_system_type(path: Path) -> str | None:
    """Find the type of the file system that a path is on, or would be created on; None if the system is not Linux."""
    resolved = path.resolve()
    with contextlib.suppress(OSError):  # an automatic mount is not listed before it is used
        resolved.exists()
    with contextlib.suppress(OSError):
        return type_in(MOUNTS.read_text(errors="surrogateescape"), PurePosixPath(resolved))
    return None


def network_file_system(path: Path) -> str | None:
    """Find the type of the network file system that a path is on; None if it is on a local one, or this is unknown."""
    found = file_system_type(path)
    return found if found in NETWORK_TYPES else None


def type_in(mountinfo: str, path: PurePosixPath) -> str | None:
    """Find the type of the file system that a path is on in a list of mounts.

    Args:
        mountinfo: The text of /proc/PID/mountinfo.
        path: An absolute path without symbolic links.

    Returns:
        The type of the mount with the longest prefix of the path, of equal ones the last, which hides the others; None
        if there is none.
    """
    longest, found = -1, None
    for line in mountinfo.splitlines():
        fields, separator, source = line.partition(" - ")  # before it, the number of fields varies
        if not separator or len(fields.split(" ")) < 5:
            continue
        point = PurePosixPath(_unescaped(fields.split(" ")[4]))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            longest, found = len(point.parts), source.split(" ")[0]
    return found


def _unescaped(text: str) -> str:
    r"""Decode the octal escapes of spaces, tabs, newlines and backslashes (`\040`)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
