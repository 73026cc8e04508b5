"""What every test may ask for: real servers, and a look at stale compiled modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import services, uacproxy_process

ROOT = Path(__file__).resolve().parent.parent

# A busy machine is slow, not wrong: nothing fails for the time it took.
settings.register_profile(
    "uacproxy",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("uacproxy")

MARK_OF_FIXTURE = {
    "redis_server": "redis",
    "postgres_server": "postgres",
    "mariadb_server": "mariadb",
    "start_kamailio": "kamailio",
    "start_sipp": "sipp",
}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test compiled modules older than their sources."""
    stamp = ROOT / "build" / "core.stamp"
    stamped = stamp.stat().st_mtime if stamp.exists() else 0.0
    for module in (ROOT / "uacproxy").rglob("*.so"):
        source = module.with_name(f"{module.name.partition('.')[0]}.py")
        if not source.exists():  # written in C by hand
            source = source.with_suffix(".c")
        built = max(stamped, module.stat().st_mtime)
        if not source.exists() or source.stat().st_mtime > built:
            raise pytest.UsageError(
                f"{module.relative_to(ROOT)} is older than its source: "
                "run `make compiled` or `make interpreted` first"
            )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers its fixtures start, so `-m redis` finds them."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARK_OF_FIXTURE:
                item.add_marker(MARK_OF_FIXTURE[fixture])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Redis]:
    """Give the session's Redis; a test keeps to keys of its own."""
    with services.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[services.Postgres]:
    """Give the session's PostgreSQL; a test makes a database of its own."""
    with services.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[services.MariaDb]:
    """Give the session's MariaDB; a test makes a database of its own."""
    with services.mariadb() as server:
        yield server


@pytest.fixture
def start_kamailio(tmp_path: Path) -> Iterator[Callable[..., services.Kamailio]]:
    """Give ``start(template, **values)``; what it started ends with the test."""
    with ExitStack() as stack:
        count = 0

        def start(template: Path, **values: object) -> services.Kamailio:
            nonlocal count
            count += 1
            folder = tmp_path / f"kamailio-{count}"
            folder.mkdir()
            return stack.enter_context(services.kamailio(template, folder, **values))

        yield start


@pytest.fixture
def start_sipp(tmp_path: Path) -> Iterator[Callable[..., services.Sipp]]:
    """Give ``start(scenario, remote, *more, port=0)``; what still runs ends with the test."""
    with ExitStack() as stack:

        def start(
            scenario: Path | str, remote: str = "", *more: str, port: int = 0
        ) -> services.Sipp:
            sipp = services.Sipp(scenario, remote, *more, folder=tmp_path, port=port)
            stack.callback(sipp.stop)
            return sipp

        yield start


@pytest.fixture
def start_uacproxy() -> Iterator[Callable[..., uacproxy_process.UacproxyProcess]]:
    """Give ``start(ini, *, files=None, port=0, **values)``; each has to stop well in the end."""
    with ExitStack() as stack:

        def start(
            ini: str, *, files: Mapping[str, str] | None = None, port: int = 0, **values: object
        ) -> uacproxy_process.UacproxyProcess:
            service = uacproxy_process.uacproxy(ini, files=files, port=port, **values)
            return stack.enter_context(service)

        yield start
