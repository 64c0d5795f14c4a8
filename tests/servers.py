"""Fetch database servers for the tests into .servers/: MySQL, PostgreSQL 17 and 18, MariaDB 11.8.

scripts/servers              fetch all that are not there yet
scripts/servers mysql        fetch this one; several can be named
scripts/servers --list       say what is there

Nothing of the machine is changed, and no right is needed: apt downloads Debian's packages into a
folder of its own, down to the C library, and they are unpacked there. scripts/test finds them.
"""

import argparse
import getpass
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parents[1] / ".servers"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
# Name: Debian's suite, its packages, the programs that the tests start.
SERVERS = {
    "mysql": ("sid", "mysql-server-core mysql-client-core", "mysqld mysql"),
    "postgresql-17": ("trixie", "postgresql-17", "initdb postgres psql pg_ctl"),
    "postgresql-18": ("sid", "postgresql-18", "initdb postgres psql pg_ctl"),
    "mariadb-11.8": (
        "trixie",
        "mariadb-server-core mariadb-client-core",
        "mariadbd mariadb my_print_defaults resolveip",
    ),
}
ELSEWHERE = """\
Without it, name a server that runs already, with a user who may create databases:
  TEST_MYSQL_URL=mysql://USER:PASSWORD@HOST/ scripts/test
  TEST_POSTGRESQL_URL=postgresql://… TEST_MARIADB_URL=mariadb://… scripts/test
for instance in a container: docker run -e MYSQL_ALLOW_EMPTY_PASSWORD=1 -p 3306:3306 mysql"""
# Puts the folder's own loader and libraries before a program, which need not fit the machine's.
WRAPPER = """\
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
root=$here/{up}
exec "$root/{loader}" --argv0 "$here/{program}" --library-path "{libraries}" \\
    "$here/../programs/{program}" "$@"
"""


class Unavailable(Exception):
    """A server that cannot be had; the message says why."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/servers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    parser.add_argument("--list", action="store_true", help="say what is there; fetch nothing")
    given = parser.parse_args()
    if unknown := {*given.names} - {*SERVERS}:
        parser.error(f"no server {', '.join(sorted(unknown))}: name {', '.join(SERVERS)}")
    names = list(given.names or SERVERS)
    there = [name for name in names if (HERE / name).exists()]
    absent = [name for name in names if name not in there]
    for name in there:
        print(f"{name}: {described(name)}")
    if given.list:
        for name in absent:
            print(f"{name}: not there: scripts/servers {name}")
        return 0
    with ThreadPoolExecutor() as pool:
        fetched_all = all([*pool.map(fetched, absent)])
    if not fetched_all:
        print(ELSEWHERE, file=sys.stderr)
    return int(not fetched_all)


def fetched(name: str) -> bool:
    """Fetch a server; say what came of it."""
    started = time.monotonic()
    try:
        fetch(name)
    except Unavailable as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    print(f"{name}: {described(name)}, in {time.monotonic() - started:.0f} s")
    return True


def described(name: str) -> str:
    """Say where a server is, how large, and which version."""
    directory = HERE / name
    files = [path for path in directory.rglob("*") if not path.is_symlink()]
    size = sum(path.stat().st_size for path in files) // 10**6
    server = SERVERS[name][2].split()
    [program] = [
        p for p in paths(directory, server) if p.name in ("mysqld", "postgres", "mariadbd")
    ]
    said = subprocess.run([program, "--version"], capture_output=True, text=True)
    version = said.stdout.strip().partition(" Ver ")[2] or said.stdout.strip()
    return f"{version.split(' for ')[0]} in {directory}, {size} MB"


def fetch(name: str) -> None:
    """Download a server's packages, unpack them, and put them in place at the end."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable("this is no Debian machine: there is no apt-get to fetch it with")
    if not KEYS.exists():
        raise Unavailable(f"there is no {KEYS}, with which Debian's packages are checked")
    suite, packages, programs = SERVERS[name]
    HERE.mkdir(exist_ok=True)
    work = HERE / f"{name}.part"
    shutil.rmtree(work, ignore_errors=True)
    try:
        for package in download(work / "apt", suite, packages.split()):
            run("dpkg-deb", "--extract", package, work / "root")
        prune(work / "root")
        wrap(work / "root", programs.split())
        (work / "root").chmod(0o755)
        (work / "root").rename(HERE / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def download(apt: Path, suite: str, packages: list[str]) -> list[Path]:
    """Download packages and all that they need; return the files."""
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    # An empty status makes apt think of an empty machine.
    (apt / "status").touch()
    sources = apt / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "APT::Sandbox::User": getpass.getuser(),
        "APT::Install-Recommends": "0",
        "Acquire::Languages": "none",
        "APT::Update::Error-Mode": "any",  # or it goes on without a network
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
    }
    options = [f"-o{key}={value}" for key, value in settings.items()]
    run("apt-get", "-qq", *options, "update")
    run("apt-get", "-qq", "-y", *options, "--download-only", "install", *packages)
    return sorted((apt / "archives").glob("*.deb"))


def mirror() -> str:
    """Return the mirror that this machine uses, or Debian's own."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run([*asked, "Origin: Debian"], capture_output=True, text=True).stdout
    plain = [uri.rstrip("/") for uri in found.split() if uri.rstrip("/").endswith("/debian")]
    return plain[0] if plain else MIRROR


def prune(root: Path) -> None:
    """Remove what no server reads."""
    folders = ["etc", "var", "usr/games", "usr/include", "usr/lib/postgresql/*/lib/bitcode"]
    folders += [f"usr/share/{name}" for name in ("doc", "man", "locale", "i18n", "perl*", "info")]
    # Without its compiler PostgreSQL runs as with jit = off.
    files = ["libLLVM*", "libz3*", "perl*"]
    folders += [f"usr/lib/*-linux-gnu*/{name}" for name in files]
    folders += ["usr/lib/postgresql/*/lib/llvmjit*"]
    for path in [path for pattern in folders for path in root.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def wrap(root: Path, programs: list[str]) -> None:
    """Put a wrapper in the place of each program, beside the program itself."""
    loaders = [*root.glob("usr/lib*/ld-linux-*.so.*"), *root.glob("lib*/ld-linux-*.so.*")]
    loaders += root.glob("usr/lib/*-linux-gnu*/ld-linux-*.so.*")
    if not loaders:
        raise Unavailable("there is no loader among the packages")
    loader = loaders[0]
    shared = {p.parent for p in (root / "usr/lib").glob("*-linux-gnu*/*.so*")}
    shared |= {p.parent for p in (root / "usr/lib").glob("mysql/private/*.so*")}
    for path in paths(root, programs):
        moved = path.parent.parent / "programs"
        moved.mkdir(exist_ok=True)
        path.rename(moved / path.name)
        path.write_text(
            WRAPPER.format(
                up=os.path.relpath(root, path.parent),
                loader=loader.relative_to(root),
                program=path.name,
                libraries=":".join(f"$root/{p.relative_to(root)}" for p in sorted(shared)),
            )
        )
        path.chmod(0o755)


def paths(root: Path, programs: list[str]) -> list[Path]:
    """Return where programs are."""
    folders = [root / "usr/bin", root / "usr/sbin", *root.glob("usr/lib/postgresql/*/bin")]
    found = [folder / name for folder in folders for name in programs]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def run(*command: object) -> None:
    """Run a command; stop with its last words when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Unavailable(f"{command[0]} failed: " + "; ".join(said))


if __name__ == "__main__":
    sys.exit(main())
