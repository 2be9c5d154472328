"""What is shipped: types, and words that Python users know."""
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import espalier
import espalier._run

SOURCES = Path(__file__).parents[2] / "python" / "espalier"


def test_the_modules_types_are_those_that_are_shipped(tmp_path):
    subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "espalier._core", "-o", tmp_path / "_core.pyi"],
                   check=True)
    assert (tmp_path / "_core.pyi").read_text() == (SOURCES / "_core.pyi").read_text(), \
        "python -m nanobind.stubgen -m espalier._core -o python/espalier/_core.pyi"
    assert (SOURCES / "py.typed").is_file()


def test_the_version_is_said_alike_everywhere():
    root = SOURCES.parents[1]
    header = (root / "include" / "espalier" / "version.hpp").read_text()
    version = ".".join(re.search(f"VERSION_{part} (\\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    assert version == espalier.__version__
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text()
    assert "dynamic = [\"version\"]" in (root / "pyproject.toml").read_text()


def test_everything_public_is_explained():
    from espalier import sklearn as estimators
    from espalier import torch as layers  # noqa: F401

    for module in (espalier, estimators, layers):
        assert module.__doc__
        for name in module.__all__:
            each = getattr(module, name)
            if inspect.isclass(each) or inspect.isfunction(each):
                assert each.__doc__, name
                if inspect.isfunction(each):
                    assert "return" in each.__annotations__, name


@pytest.mark.parametrize("options, words", [({"recipe": "nothing"}, "espalier.recipes()"), ({"momentum": 3}, "option")])
def test_messages_name_no_command_line(options, words):
    with pytest.raises(ValueError) as caught:
        espalier.train("synthetic", **options)
    assert words in str(caught.value) and "--" not in str(caught.value)
