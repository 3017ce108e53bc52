"""Run the tests with other versions than the locked ones: `make versions`, or `make versions ARGS="lowest python3.13"`.

- `newest`: the newest releases that the open ranges of both packages allow.
- `lowest`: the lowest release of each direct dependency.
- `python3.12`, `python3.13`: the locked releases on another Python, left out where that Python is not found.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = str(Path(sys.executable).parent / "uv")
PYTHONS = ("python3.12", "python3.13")
ROUNDS = ("newest", "lowest", *PYTHONS)
TESTS = ("core", "services", "api", "events", "web", "sdk", "sdk_client", "cli", "agents", "storage")


def main(names: Sequence[str]) -> int:
    failed = [name for name in names or ROUNDS if not passes(name)]
    print(f"==> failed: {', '.join(failed)}" if failed else "==> every round passed", flush=True)
    return 1 if failed else 0


def passes(name: str) -> bool:
    python = found(name)
    if python is None:
        print(f"==> {name}: not found on this machine, left out", flush=True)
        return True
    print(f"==> {name}: building an environment and running the tests", flush=True)
    home = ROOT / ".cache" / "versions" / name
    subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
    install(home, name)
    tests = [f"tests/{folder}" for folder in TESTS]
    pytest = [str(home / "bin" / "pytest"), "-n", "4", "-q", "-m", "not programs and not browser", *tests]
    # Future releases may announce removals, which is not a failure of today.
    lenient = ["-W", "default::DeprecationWarning"] if name == "newest" else []
    return subprocess.run([*pytest, *lenient], cwd=ROOT, check=False).returncode == 0


def found(name: str) -> str | None:
    """The interpreter of a round; None where this machine has none."""
    if name not in PYTHONS:
        return sys.executable
    versions = Path.home() / ".pyenv" / "versions"
    nearby = sorted(versions.glob(f"{name.removeprefix('python')}.*/bin/{name}"))
    return str(nearby[-1]) if nearby else shutil.which(name)


def install(home: Path, name: str) -> None:
    python = str(home / "bin" / "python")
    if name in PYTHONS:
        run(python, "-m", "pip", "install", "-q", "--require-hashes", "-r", "requirements/dev.txt")
    else:
        run(python, "-m", "pip", "install", "-q", "-r", str(resolved(home, name)))
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", "./sdk", "-e", ".")


def resolved(home: Path, name: str) -> Path:
    """The versions of a round: the product's at one end of its ranges, and the newest tools that go with them."""
    product, everything = home / "product.txt", home / "everything.txt"
    ours = f"-e {ROOT}/sdk[agent,yaml]\n-e {ROOT}\n"
    ways = {"newest": "highest", "lowest": "lowest-direct"}
    resolve(home, ours, product, "--resolution", ways[name])
    resolve(home, f"{ours}-e {ROOT}[dev]\neditables\nhatchling\n-c {product}\n", everything)
    return everything


def resolve(home: Path, wanted: str, into: Path, *options: str) -> None:
    request = into.with_suffix(".in")
    request.write_text(wanted)
    left_out = [word for package in ("orionflow", "orionflow-server") for word in ("--no-emit-package", package)]
    run(
        UV,
        "pip",
        "compile",
        "-q",
        "--python",
        str(home / "bin" / "python"),
        *left_out,
        *options,
        str(request),
        "-o",
        str(into),
    )


def run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
