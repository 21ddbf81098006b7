"""The summary of an ensemble, and its page."""

import re

import pytest

from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.summary import summarise
from kubecast.evaluation.words import plain
from kubecast.reports.stacking import render_stacking
from tests.support.forecasts import KINDS, NOISE, forecasts, scales, stack_table
from tests.support.pages import HOSTILE, PageChecker


def recipe_of(noise: dict[str, float]) -> StackRecipe:
    table = forecasts(noise, origins=10)
    kinds = {name: KINDS[name] for name in noise}
    return stack_table(table, scales(table), EnsembleSettings(), kinds, {}, 24)[0]


@pytest.fixture(scope="module")
def recipe() -> StackRecipe:
    return recipe_of(NOISE)


def test_members_are_those_of_the_recipe_the_largest_weight_first(recipe: StackRecipe) -> None:
    summary = summarise(recipe)
    assert {member.model: member.weight for member in summary.members} == recipe.weights
    assert [member.weight for member in summary.members] == sorted(recipe.weights.values(), reverse=True)
    for member in summary.members:
        assert member.kind == KINDS[member.model]
        assert member.mase == recipe.member_losses[member.model]
        assert member.mase_without == recipe.loss_without[member.model]
        assert member.by_fold == {fold: w[member.model] for fold, w in recipe.fold_weights.items()}


def test_dashboard_figures_have_a_name_for_each_member(recipe: StackRecipe) -> None:
    figures = summarise(recipe).figures()
    assert figures["validation_mase"] == recipe.loss
    assert figures["weight_good"] == recipe.weights["good"]
    assert figures["validation_mase_bad"] == recipe.member_losses["bad"]


def test_page_has_each_members_figures_and_shows_names_as_text(recipe: StackRecipe) -> None:
    summary = summarise(recipe)
    page = render_stacking(summary, {"arima": HOSTILE})
    checker = PageChecker()
    checker.feed(page)
    assert not checker.open
    assert HOSTILE in "".join(checker.text)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for member in summary.members:
        row = f"{plain(member.model)} {plain(member.kind)} {member.weight:.4g} {member.mase:.4g}"
        assert f"{row} {member.mase_without:.4g}" in text
    assert "without fold 3" in text


def test_page_of_an_only_member() -> None:
    page = render_stacking(summarise(recipe_of({"good": 1.0})), {})
    assert "<td>-</td>" in page
