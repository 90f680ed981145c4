from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import airflow_provider_chatwork

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [ROOT / "constraints.txt", *sorted((ROOT / "constraints").glob("*.txt"))]
#: Additions to other constraints, not whole environments.
ADDITIONS = {"system-tests.txt"}


def pinned(path):
    return [Requirement(line) for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def distribution():
    try:
        return metadata.distribution(PROJECT["name"])
    except metadata.PackageNotFoundError:
        pytest.fail("the project is not installed here: run the tests with `make test`", pytrace=False)


class TestDistribution:
    def test_has_the_version_of_the_package(self, distribution):
        assert distribution.version == airflow_provider_chatwork.__version__

    @pytest.mark.parametrize("group", ["apache_airflow_provider", "airflow.plugins", "pytest11"])
    def test_declares_only_entry_points_that_can_be_loaded(self, distribution, group):
        entry_points = distribution.entry_points.select(group=group)
        assert len(entry_points) == 1
        for entry_point in entry_points:
            assert entry_point.load()

    def test_is_found_by_airflow(self, distribution):
        from airflow.providers_manager import ProvidersManager

        found = ProvidersManager().providers[distribution.name]
        assert found.version == airflow_provider_chatwork.__version__

    def test_is_typed(self):
        assert (Path(airflow_provider_chatwork.__file__).parent / "py.typed").is_file()


class TestPins:
    @pytest.mark.parametrize("path", [path for path in PINS if path.name not in ADDITIONS], ids=lambda path: path.name)
    def test_satisfy_the_requirements_of_the_project(self, path):
        pins = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pinned(path)}
        for requirement in map(Requirement, PROJECT["dependencies"]):
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement

    @pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
    def test_pin_every_version_without_an_index(self, path):
        for pin in pinned(path):
            assert pin.url is None
            assert re.fullmatch(r"==[\w.!+]+", str(pin.specifier)), pin
            assert "+" not in str(pin.specifier), f"{pin} is a local build"

    @pytest.mark.parametrize("version", ["2.11", "3.0", "3.1", "3.2"])
    def test_are_for_the_airflow_version_in_their_name(self, version):
        pins = {pin.name: str(pin.specifier) for pin in pinned(ROOT / "constraints" / f"airflow-{version}.txt")}
        assert pins["apache-airflow"].startswith(f"=={version}.")
