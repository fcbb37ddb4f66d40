"""Create checkouts for tests. In a checkout, `scripts/venv` has nothing to install."""

import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sysconfig.get_path("scripts"))
NODE_MODULES = ROOT / "tests" / "js" / "node_modules"
NOT_TRACKED = (
    *(".git", ".venv", "data", "node_modules", "build", "dist"),
    *("*.egg-info", ".hypothesis", ".*_cache"),
)


def new_checkout(folder: Path) -> Path:
    """Copy the project; the copy uses the installed packages of this Python.

    Raises: CalledProcessError.
    """
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*NOT_TRACKED))
    if NODE_MODULES.exists():
        (checkout / "node_modules").symlink_to(NODE_MODULES)
    _make_venv(checkout)
    return checkout


def _make_venv(checkout: Path) -> None:
    made = checkout / ".venv"
    venv.create(made, symlinks=True)
    packages = sysconfig.get_path(
        "purelib", "venv", vars={"base": str(made), "platbase": str(made)}
    )
    # Python finds modules of the checkout first, then packages of this Python.
    Path(packages, "checkout.pth").write_text(
        f"{checkout}\nimport site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    for program in PROGRAMS.iterdir():
        _copy_program(program, made / "bin")
    (made / "made-for").write_text(f"{checkout}\n")
    for extra in ("plain", "up", "test"):
        _mark_installed(checkout, extra)


def _copy_program(program: Path, folder: Path) -> None:
    """Copy a program that pip installed; the copy runs with the Python in `folder`."""
    shebang, newline, rest = program.read_bytes().partition(b"\n")
    if shebang.startswith(f"#!{PROGRAMS}/python".encode()):
        copied = folder / program.name
        copied.write_bytes(f"#!{folder / 'python'}".encode() + newline + rest)
        copied.chmod(0o755)


def _mark_installed(checkout: Path, extra: str) -> None:
    """Mark the packages as installed, so that `scripts/venv` does not install them."""
    command = f"cat setup.cfg pyproject.toml | cksum >.venv/installed-{extra}"
    subprocess.run(["sh", "-c", command], cwd=checkout, check=True)
