"""File systems are found in the list of mounts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from nsad_cli.utils import file_systems
from nsad_cli.utils.file_systems import NETWORK_TYPES, file_system_type, network_file_system, type_in

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:40 / /home rw,relatime shared:2 master:1 - autofs /etc/auto.home rw,fd=6
41 40 0:41 / /home/ana rw,relatime - nfs4 server:/export/home/ana rw,vers=4.2,addr=10.0.0.1
42 27 0:42 / /scratch rw shared:7 - lustre 10.0.0.2@tcp:/scratch rw,flock
43 27 0:43 / /gpfs/my\040data rw - gpfs gpfs0 rw
44 27 0:44 / /mnt/share rw - cifs //server/share rw
45 44 0:45 / /mnt/share/local rw - tmpfs tmpfs rw
46 27 0:46 / /data rw - ext4 /dev/vdb rw
47 27 0:47 / /data rw - nfs server:/data rw
48 27 0:48 / /mnt/ssh rw - fuse.sshfs ana@host: rw
49 27 0:49 / /mnt/archive rw - fuse.archivemount archive rw
a line that is cut
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "ext4"),
        ("/homes/ana", "ext4"),
        ("/home/ben", "autofs"),
        ("/home/ana", "nfs4"),
        ("/home/ana/runs/demo/store.sqlite", "nfs4"),
        ("/home/anatol", "autofs"),
        ("/scratch/x", "lustre"),
        ("/gpfs/my data/store.sqlite", "gpfs"),
        ("/mnt/share/a", "cifs"),
        ("/mnt/share/local/a", "tmpfs"),
        ("/data/a", "nfs"),
        ("/mnt/ssh/a", "fuse.sshfs"),
        ("/mnt/archive/a", "fuse.archivemount"),
    ],
)
def test_the_mount_with_the_longest_prefix_counts(path: str, found: str) -> None:
    assert type_in(MOUNTS, PurePosixPath(path)) == found
    assert (found in NETWORK_TYPES) == (found in {"nfs", "nfs4", "lustre", "gpfs", "cifs", "fuse.sshfs"})


def test_without_mounts_a_file_system_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type_in("", PurePosixPath("/a")) is None
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "none")
    assert file_system_type(tmp_path) is None
    assert network_file_system(tmp_path) is None


def test_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "remote")
    mounts = f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path.resolve()}/remote rw - nfs4 b rw\n"
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "mounts")
    assert network_file_system(tmp_path / "link" / "new" / "store.sqlite") == "nfs4"
    assert network_file_system(tmp_path / "store.sqlite") is None
