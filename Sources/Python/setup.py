"""Builds the extension, and the library that it stands on.

MUSTER_PREFIX=/usr/local: takes the library that CSources/install.sh has put there. Otherwise the library
is built from this checkout, which needs Swift, and becomes a part of the package.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PREFIX = os.environ.get("MUSTER_PREFIX")

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("muster-team: this Python has no GIL, which the extension needs: use one that has")


def version_in(header: Path) -> str:
    found = re.search(r'^#define MUSTER_VERSION "(.*)"', header.read_text(), re.MULTILINE)
    return found.group(1) if found else sys.exit(f"muster-team: {header} has no version")


def library() -> Path:
    """The prefix under which the library and its headers are. Without one, the library is built."""
    if PREFIX:
        prefix = Path(PREFIX).resolve()
        if not (prefix / "lib" / "libmuster.so").exists():
            sys.exit(
                f"muster-team: MUSTER_PREFIX={PREFIX} has no lib/libmuster.so: install it there by "
                f"CSources/install.sh --prefix {PREFIX}"
            )
        return prefix
    install = ROOT / "CSources" / "install.sh"
    if not install.exists():
        sys.exit(
            "muster-team: the library's sources are not here: install from a checkout (pip install "
            "./Sources/Python), or set MUSTER_PREFIX to where the library is installed"
        )
    if not shutil.which("swift"):
        sys.exit(
            "muster-team: swift is missing, which builds the library: install Swift 6.3 "
            "(https://www.swift.org/install/linux), or set MUSTER_PREFIX to where the library is installed"
        )
    prefix = ROOT / ".build" / "python"
    if subprocess.run([install, "--library-only", "--prefix", prefix]).returncode != 0:
        sys.exit("muster-team: the library can't be built: what stands above says why")
    return prefix


class Build(build_ext):
    def run(self) -> None:
        import numpy

        prefix = library()
        for extension in self.extensions:
            extension.include_dirs += [numpy.get_include(), str(prefix / "include")]
            extension.library_dirs.append(str(prefix / "lib"))
            extension.extra_link_args.append("-Wl,--build-id")
            # The wheel has the library in it; an installed one is found where it is.
            where = str(prefix / "lib") if PREFIX else "$ORIGIN/lib"
            extension.extra_link_args.append(f"-Wl,-rpath,{where}")
        super().run()
        self.add_files(prefix)

    def add_files(self, prefix: Path) -> None:
        """The library, unless it is installed; and the headers, for kernels in C."""
        package = HERE / "src" / "muster" if self.inplace else Path(self.build_lib) / "muster"
        headers = package / "include" / "muster"
        headers.mkdir(parents=True, exist_ok=True)
        for header in (prefix / "include" / "muster").glob("*.h"):
            shutil.copy2(header, headers)
        if not PREFIX:
            (package / "lib").mkdir(exist_ok=True)
            for name in (prefix / "lib").glob("libmuster.so.?"):
                shutil.copy2(name.resolve(), package / "lib" / name.name)


headers = ROOT / "include" if (ROOT / "include").exists() else Path(PREFIX or "/usr/local") / "include"
setup(
    version=version_in(headers / "muster" / "base.h"),
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "muster._core",
            sorted(glob.glob("src/muster/_core*.c")),
            depends=sorted(glob.glob("src/muster/_core*.h")),
            libraries=["muster"],
            py_limited_api=True,
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-cast-function-type"],
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
