"""What is shipped: wheel and sdist hold the whole package, whether or not the two links survived the download."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("avirt", "drivers", "events")
LINKS = {"drivers": "../drivers", "events": "../events"}


def modules() -> set[str]:
    """Every file of ours, as it has to stand in the wheel."""
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            is_linked = folder == "avirt" and inside.parts[0] in LINKS
            if path.is_file() and "__pycache__" not in path.parts and not is_linked:
                found.add(str(Path("avirt", *(() if folder == "avirt" else (folder,)), inside)))
    return found


def copy_project(target: Path) -> None:
    """The project without its links, as an archive that knows none would give it."""
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copy(ROOT / name, target / name)
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder,
            target / folder,
            symlinks=True,
            ignore=lambda where, names: [
                name for name in names if name == "__pycache__" or (name in LINKS and Path(where).name == "avirt")
            ],
        )


def build(project: Path, target: str) -> Path:
    """Build with the back end itself: no network, no isolation."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target],
        cwd=project,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = (project / "dist").glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def wheel_files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("links", ["kept", "lost", "text"])
def test_wheel_holds_drivers_and_events_whatever_became_of_the_links(tmp_path: Path, links: str) -> None:
    """Links kept (git, tar), lost (zip), or turned into text files (git without links): the same wheel."""
    copy_project(tmp_path)
    for name, goal in LINKS.items():
        if links == "kept":
            (tmp_path / "avirt" / name).symlink_to(goal)
        elif links == "text":
            (tmp_path / "avirt" / name).write_text(goal)
    files = wheel_files(build(tmp_path, "wheel"))
    assert len(files) == len(set(files))
    assert set(files) == modules()
    assert {"avirt/py.typed", "avirt/drivers/base.py", "avirt/events/__init__.py"} <= set(files)


@pytest.mark.slow
def test_wheel_built_from_the_sdist_is_the_same(tmp_path: Path) -> None:
    """pip builds from the sdist where there is no wheel."""
    copy_project(tmp_path)
    for name, goal in LINKS.items():
        (tmp_path / "avirt" / name).symlink_to(goal)
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert set(wheel_files(build(unpacked, "wheel"))) == modules()


def test_links_are_in_the_tree() -> None:
    """`avirt.drivers` and `avirt.events` are the folders at the root."""
    for name, goal in LINKS.items():
        link = ROOT / "avirt" / name
        assert link.is_symlink()
        assert str(link.readlink()) == goal
