"""What is installed is what the checkout holds: `pyproject.toml` lists every package and every file beside one."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def source(package):
    """The folder of a package."""
    found = SETUP["package-dir"].get(package)
    if found is None:
        parent, _, name = package.rpartition(".")
        return source(parent) / name
    return ROOT / found


def test_every_file_of_a_package_is_installed():
    packages = {source(name): name for name in SETUP["packages"]}
    missing = []
    for top in SETUP["package-dir"].values():
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_dir() or "__pycache__" in path.parts or path.suffix == ".pyc":
                continue
            if path.suffix == ".py":
                if path.parent not in packages:
                    missing.append(path)
                continue
            holder = next(folder for folder in path.parents if folder in packages)
            globs = SETUP["package-data"].get(packages[holder], [])
            if not any(path in holder.glob(glob) for glob in globs):
                missing.append(path)
    assert not missing, (
        f"not in pyproject.toml's packages or package-data: {[str(p.relative_to(ROOT)) for p in missing]}"
    )
