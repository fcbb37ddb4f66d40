"""Tests of the distributions that `python -m build` makes."""

import configparser
import pytest
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from scheduler_api.core.store.layout import LAYOUT
from tests.deploys import compose
from tests.procfile import ROOT

pytestmark = pytest.mark.slow

PACKAGES = ("scheduler_api", "workers")


def package_files() -> set[str]:
    """All files in the folders of the packages."""
    found = (file for name in PACKAGES for file in (ROOT / name).rglob("*"))
    return {
        str(file.relative_to(ROOT))
        for file in found
        if file.is_file() and file.parent.name != "__pycache__"
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the distributions, built from what the Dockerfile gets."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in compose.context():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    subprocess.run(
        [*command, folder / "dist", source], check=True, stdout=subprocess.DEVNULL
    )
    return folder / "dist"


@pytest.fixture
def wheel(dist: Path) -> Path:
    [file] = dist.glob("*.whl")
    return file


def test_an_index_accepts_the_distributions(dist: Path):
    files = [*dist.iterdir()]
    command = (sys.executable, "-m", "twine", "check", "--strict")

    assert len(files) == 2
    subprocess.run([*command, *files], check=True)


def test_a_wheel_has_all_files_of_the_packages_and_the_licence(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    [info] = {name.partition("/")[0] for name in names if ".dist-info/" in name}

    own = {name for name in names if not name.startswith(info)}
    assert own == package_files()
    assert f"{info}/licenses/LICENSE" in names


def test_a_source_distribution_has_all_files_of_the_packages(dist: Path):
    [file] = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert package_files() - names == set()


def test_an_installed_wheel_starts_outside_of_the_checkout(wheel: Path, tmp_path: Path):
    made = tmp_path / "venv"
    venv.create(made, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", made / "bin" / "python")
    subprocess.run(
        [*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True
    )
    # The packages that the wheel needs are those of the tests.
    [packages] = made.glob("lib/*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))

    result = subprocess.run(
        [made / "bin" / "scheduler", "--version"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout == f"scheduler {wheel.name.split('-')[1]}\n"
    assert (packages / "scheduler_api").exists()


def test_the_changelog_begins_with_this_version_and_its_layout():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = (ROOT / "CHANGELOG.md").read_text()
    [newest, *_] = re.findall(r"^## (.*)\n((?:.|\n(?!## ))*)", text, re.MULTILINE)

    assert newest[0] == config["metadata"]["version"]
    assert f"layout {LAYOUT}" in newest[1]
