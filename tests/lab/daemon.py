"""A private libvirtd: its own state, mount and pid namespaces, so that several run side by side and leave nothing.

Everything here blocks: tests of the loop call it through `anyio.to_thread`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Final, Self

__all__ = ["Daemon", "missing"]

HERE: Final = Path(__file__).resolve().parent

_LIBVIRTD: Final = """\
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0777"
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 0
listen_tcp = 0
log_outputs = "3:file:{log}"
keepalive_interval = 5
max_clients = 500
host_uuid = "{uuid}"
"""

_QEMU: Final = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
"""

_LXC: Final = 'security_driver = "none"\nlog_with_libvirtd = 1\n'

_PATH: Final = os.environ.get("PATH", "") + os.pathsep + os.pathsep.join(["/usr/sbin", "/sbin"])


def missing(*programs: str) -> str:
    """What a laboratory daemon can't do without and is not here; "" if all is."""
    if os.geteuid() != 0:
        return "needs root (namespaces of its own)"
    lacking = [name for name in ("libvirtd", "virsh", "unshare", *programs) if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    tried = subprocess.run(["unshare", "-m", "-p", "-f", "--mount-proc", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not allowed here"


class Daemon:
    """libvirtd with the drivers that are installed: test, QEMU, LXC, ….

    Args:
        hostname: another host's name, in a UTS namespace of its own (two hosts of one name can't migrate).
    """

    def __init__(self, *, hostname: str = "") -> None:
        self.hostname = hostname
        # sockets have short paths (108 bytes), which pytest's temporary folders are not
        self.folder = Path(tempfile.mkdtemp(prefix="avirt-", dir="/tmp"))
        self._process: subprocess.Popen[str] | None = None

    @property
    def run(self) -> Path:
        """What the daemon sees as /run/libvirt."""
        return self.folder / "run"

    @property
    def socket(self) -> Path:
        """The read-write socket."""
        return self.run / "libvirt-sock"

    @property
    def socket_ro(self) -> Path:
        """The read-only socket."""
        return self.run / "libvirt-sock-ro"

    def uri(self, driver: str = "qemu", *, readonly: bool = False) -> str:
        """The URI of one of its drivers."""
        path = {"test": "default"}.get(driver, "system")
        return f"{driver}+unix:///{path}?socket={self.socket_ro if readonly else self.socket}"

    def __enter__(self) -> Self:
        self._prepare()
        separate = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "--propagation", "private"]
        if self.hostname:
            separate.append("-u")
        self._process = subprocess.Popen(
            [*separate, "bash", str(HERE / "namespace.sh"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "PATH": _PATH, "LAB_HOSTNAME": self.hostname},
        )
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None:
            self._process = None
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()  # ends the namespace's first process, and with it all others
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stdout.close()
        for pattern in ("machine/*.libvirt-lxc", "*/machine/*.libvirt-lxc"):  # killed containers leave these
            for left in Path("/sys/fs/cgroup").glob(pattern):
                for inner in sorted((path for path in left.rglob("*") if path.is_dir()), reverse=True):
                    _rmdir(inner)
                _rmdir(left)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> None:
        folders = {name: self.folder / name for name in ("run", "etc", "var-lib", "var-log", "var-cache")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # so that another user may try the sockets
        shutil.copytree("/etc/libvirt", folders["etc"], dirs_exist_ok=True)
        for link in (folders["etc"] / "qemu" / "networks" / "autostart").glob("*"):
            link.unlink()  # the default network would touch the firewall of this machine
        identity = uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder))
        conf = _LIBVIRTD.format(log="/var/log/libvirt/libvirtd.log", uuid=identity)
        (folders["etc"] / "libvirtd.conf").write_text(conf)
        (folders["etc"] / "qemu.conf").write_text(_QEMU)
        (folders["etc"] / "lxc.conf").write_text(_LXC)

    def _tell(self, command: str) -> None:
        process = self._process
        assert process is not None, "the laboratory is closed"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(command + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError(f"laboratory: {command}: {answer or 'no answer'}\n{self.log()}")

    def log(self) -> str:
        """The end of what the daemon said."""
        said = [self.folder / "output", self.folder / "var-log" / "libvirtd.log"]
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in said if path.exists())

    def start(self) -> None:
        """Start it, or start it again after `kill` or `terminate`."""
        self._tell("start")

    def kill(self) -> None:
        """SIGKILL for the daemon alone: its guests live on."""
        self._tell("end KILL")

    def terminate(self) -> None:
        """SIGTERM for the daemon alone, and wait for its end."""
        self._tell("end TERM")

    def restart(self, *, gently: bool = True) -> None:
        """End it and start it again."""
        if gently:
            self.terminate()
        else:
            self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: the connection stands, nobody answers."""
        self._tell("signal STOP")

    def thaw(self) -> None:
        """SIGCONT."""
        self._tell("signal CONT")

    def signal_guest(self, name: str, signal: str = "KILL") -> None:
        """A signal for the process of a guest."""
        self._tell(f"guest {signal} {name}")


def _rmdir(path: Path) -> None:
    with contextlib.suppress(OSError):  # in use by another laboratory
        path.rmdir()
