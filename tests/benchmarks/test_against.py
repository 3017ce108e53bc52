"""`make bench ARGS="--against REV"`: checks out, installs, measures, compares. No test asserts how fast anything is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmarks import against, revisions
from benchmarks.measuring import HERE, ROOT

TINY = against.Sizes(rounds=1, tasks=20, starts=1, turns=1, singles=1, burst=2)


@pytest.mark.parametrize(
    "measure",
    [against.MEASURES[0], *(pytest.param(measure, marks=pytest.mark.long) for measure in against.MEASURES[1:])],
)
@pytest.mark.slow
def test_each_measure_gives_figures_above_zero(measure):
    figures = measure(HERE, TINY)

    assert figures
    assert not [name for name, value in figures.items() if value <= 0], figures


def test_rounds_take_both_installations_in_turn(monkeypatch):
    other = revisions.Installation("other", HERE.python)
    monkeypatch.setattr(against, "MEASURES", (lambda of, sizes: {"rate (/s)": 1.0},))
    monkeypatch.setattr(against, "requests_in_turns", lambda installations, sizes: ())

    measured = list(against.rounds(HERE, other, against.Sizes(rounds=3)))

    assert [who for who, _ in measured] == ["other", "here", "here", "other", "other", "here"]


@pytest.mark.slow
@pytest.mark.long
def test_servers_are_loaded_in_turns():
    other = revisions.Installation("other", HERE.python)

    measured = list(against.requests_in_turns((HERE, other), against.Sizes(turns=2)))

    assert [who for who, _ in measured] == ["here", "other", "other", "here"] * 2
    assert all(rate > 0 for _, figures in measured for rate in figures.values())


def test_ratio_is_above_one_when_a_rate_grows_and_when_a_duration_shrinks():
    measured = [("old", {"tasks (/s)": 10.0, "hello (s)": 2.0}), ("here", {"tasks (/s)": 20.0, "hello (s)": 1.0})]

    ratios = {each.figure: each.ratio for each in against.compare(measured, "old", "here")}

    assert ratios == {"tasks (/s)": 2.0, "hello (s)": 2.0}


def test_medians_of_rounds_are_compared_and_what_fell_below_the_floor_is_marked():
    rates = {"old": (100.0, 1.0, 90.0), "here": (70.0, 80.0, 5.0)}
    measured = [(who, {"tasks (/s)": rate}) for who in rates for rate in rates[who]]

    comparisons = against.compare(measured, "old", "here")

    assert (comparisons[0].before, comparisons[0].now) == (90.0, 70.0)
    assert "| tasks (/s) | 90 | 70 | 0.78 **below 0.9** |" in against.table(comparisons, "old", "here")


def test_this_environment_meets_the_requirements_of_this_tree():
    requirements = revisions.requirements_of(ROOT)

    assert {"Django", "pydantic", "celery"} <= {each.name for each in requirements}
    assert all(map(revisions.is_met, requirements))
    assert not revisions.is_met(Requirement("pydantic>=1000"))
    assert not revisions.is_met(Requirement("no-such-distribution-anywhere"))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no history to check out")
def test_revision_is_installed_with_its_own_code_and_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(revisions, "CACHE", tmp_path)

    installation = revisions.installed_revision("HEAD")

    try:
        tree = tmp_path / installation.name / "tree"
        program = "import orionflow, orion_site, runs; print(orionflow.__file__, orion_site.__file__, runs.__file__)"
        command = [str(installation.python), "-P", "-c", program]
        origins = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert all(Path(origin).is_relative_to(tree) for origin in origins)
        assert Path(installation.orion).read_text().startswith(f"#!{installation.python}")
        assert revisions.installed_revision("HEAD") == installation
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
