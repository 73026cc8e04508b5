"""Build uacproxy; compile its core with mypyc where that can be done.

The metadata is in ``setup.cfg``. ``UACPROXY_COMPILE=0`` builds plain Python, ``=1``
fails unless the core gets compiled; unset, the build goes on interpreted and says why
in one line. ``UACPROXY_TUNE`` is for ``make tuned``: ``record`` builds a core that counts
what it does, ``use`` builds by what was counted.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

HERE = Path(__file__).resolve().parent

# A folder stands for every module in it but those of PLAIN. To compile one more, name it
# here. Left out are errors and ports (nothing hot, and implemented outside), routing's
# script and actions (operators' code meets them) and the registrar (seldom asked).
CORE = (
    "uacproxy/counters.py",
    "uacproxy/flow.py",
    "uacproxy/sip/",
    "uacproxy/transaction/",
    "uacproxy/dialog/",
    "uacproxy/uac/",
    "uacproxy/resolve/uri_resolver.py",
    "uacproxy/routing/challenge.py",
    "uacproxy/routing/context.py",
    "uacproxy/routing/features.py",
    "uacproxy/routing/functions.py",
    "uacproxy/routing/message_view.py",
    "uacproxy/routing/pseudo.py",
    "uacproxy/routing/request_sending.py",
    "uacproxy/routing/registration_functions.py",
    "uacproxy/routing/rules.py",
    "uacproxy/routing/runner.py",
    "uacproxy/routing/scope.py",
    "uacproxy/routing/own_dialog.py",
    "uacproxy/routing/pending_reply.py",
    "uacproxy/routing/uac_req.py",
    "uacproxy/bridge/",
    "uacproxy/proxy/",
    "uacproxy/transport/addresses.py",
    "uacproxy/transport/admission.py",
    "uacproxy/transport/datagrams.py",
    "uacproxy/transport/inbound.py",
    "uacproxy/transport/letters.py",
    "uacproxy/transport/linger.py",
    "uacproxy/transport/overload.py",
    "uacproxy/transport/own_names.py",
    "uacproxy/transport/own_uris.py",
    "uacproxy/transport/post.py",
    "uacproxy/transport/shared_wire.py",
    "uacproxy/transport/way_out.py",
    "uacproxy/transport/wire.py",
)

# Settings classes show their docstrings in the reference page, and mypyc drops those.
PLAIN = {"__init__.py", "settings.py", "limits.py"}

# Written in C by hand; beside each stands the Python that does the same without it.
BY_HAND = {
    "uacproxy.sip._scan": ["uacproxy/sip/_scan.c", "uacproxy/sip/_header.c"],
    "uacproxy.sip._lines": ["uacproxy/sip/_lines.c"],
}
if sys.platform == "linux":
    BY_HAND["uacproxy.transport._wire"] = ["uacproxy/transport/_wire.c"]

# The files of the core call each other directly, not as if another library could step in.
QUICK_CALLS = ["-fvisibility=hidden", "-fno-plt"] if os.name == "posix" else []

# What gcc is told besides, by UACPROXY_TUNE, the first two when it links too. Modules that no
# training touches have no profile.
TUNING = {
    "": [],
    "record": ["-fprofile-generate"],
    "use": ["-fprofile-use", "-flto=2", "-fprofile-correction", "-Wno-missing-profile"],
}

FAILED = (BaseError, CCompilerError, OSError)  # what a build raises; the last: no such compiler


class CannotCompile(Exception):
    """What is missing, in words that fit one line."""


def core_modules() -> list[str]:
    """Return the modules to compile that are here, as paths relative to this file."""

    def expand(entry: str) -> Iterator[Path]:
        if entry.endswith("/"):
            yield from (p for p in (HERE / entry).glob("*.py") if p.name not in PLAIN)
        elif (HERE / entry).exists():
            yield HERE / entry

    return sorted(p.relative_to(HERE).as_posix() for entry in CORE for p in expand(entry))


class BuildCore(build_ext):
    """``build_ext`` that compiles C files side by side, and again only where they changed."""

    def build_extension(self, ext: Extension) -> None:
        """Compile each C file on a thread of its own, then let setuptools link."""
        written = (*Path("build").glob("**/*.h"), *Path("uacproxy").glob("**/*.h"))
        headers = max((p.stat().st_mtime for p in written), default=0.0)

        def compile_one(source: str) -> list[str]:
            objects: list[str] = self.compiler.object_filenames(
                [source], output_dir=self.build_temp
            )
            built = Path(objects[0])
            newest = max(Path(source).stat().st_mtime, headers)
            if built.exists() and built.stat().st_mtime > newest:
                return objects
            found: list[str] = self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                extra_postargs=ext.extra_compile_args,
            )
            return found

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for objects in pool.map(compile_one, ext.sources):
                ext.extra_objects += objects
        ext.depends, ext.sources = list(ext.extra_objects), []
        super().build_extension(ext)

    def run(self) -> None:
        """Build; a C file that does not compile is fatal only when compiling was asked for."""
        try:
            super().run()
        except FAILED as error:
            if WANTED == "1":
                raise
            interpreted_because(f"the C compiler failed ({str(error).splitlines()[0]})")
            self.extensions = []


def look_for_a_compiler() -> None:
    """Build the smallest extension there is.

    Raises:
        CannotCompile: no C compiler, or no ``Python.h``.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("#include <Python.h>\nint main(void) { return 0; }\n")
        command = build_ext(Distribution({"ext_modules": [Extension("empty", [str(source)])]}))
        command.build_temp = command.build_lib = folder
        command.ensure_finalized()
        silent, kept = os.open(os.devnull, os.O_WRONLY), (os.dup(1), os.dup(2))
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            command.run()
        except FAILED as error:
            raise CannotCompile("no C compiler, or no Python.h (python3-dev)") from error
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in (silent, *kept):
                os.close(descriptor)


def compiled() -> list[Extension]:
    """Translate the core to C.

    Raises:
        CannotCompile: mypy or a compiler is missing, or mypy refuses a module.
    """
    modules = core_modules()
    if not modules:
        raise CannotCompile("no module of the core is here")
    try:
        from mypyc.build import mypycify
    except ImportError as error:
        raise CannotCompile("mypy is not installed") from error
    look_for_a_compiler()
    try:
        built = mypycify(
            ["--config-file=", "--cache-dir=build/mypy_cache", *modules],
            opt_level="3",
            debug_level="0",
            multi_file=True,
            group_name="uacproxy",
        )
    except SystemExit as error:
        raise CannotCompile("mypy refuses a module, see above") from error
    by_hand = [
        Extension(name, sources, extra_compile_args=["-O3"]) for name, sources in BY_HAND.items()
    ]
    for extension in built:
        extension.extra_compile_args += QUICK_CALLS
    both = [*cast("list[Extension]", built), *by_hand]
    for extension in both:
        extension.extra_compile_args += TUNING[TUNE]
        extension.extra_link_args += TUNING[TUNE][:2]
    return both


def interpreted_because(why: str) -> None:
    """Say in one line that, and why, the core stays plain Python."""
    print(f"uacproxy: the core stays interpreted: {why}", file=sys.stderr)


WANTED = os.environ.get("UACPROXY_COMPILE", "")
TUNE = os.environ.get("UACPROXY_TUNE", "")
BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install"}


def extensions() -> list[Extension]:
    """Return what to build, as ``UACPROXY_COMPILE`` asks."""
    if WANTED == "0" or not BUILDING & set(sys.argv):
        return []
    if TUNE not in TUNING:
        sys.exit(f"uacproxy: UACPROXY_TUNE={TUNE}: record or use")
    try:
        return compiled()
    except CannotCompile as error:
        if WANTED == "1":
            sys.exit(f"uacproxy: UACPROXY_COMPILE=1, but {error}")
        interpreted_because(str(error))
        return []


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCore})
