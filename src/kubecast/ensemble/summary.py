"""A summary of an ensemble: the weight of each member, and what it adds."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from kubecast.documents import Document
from kubecast.ensemble.recipe import Method, StackRecipe


class MemberSummary(Document):
    """One member of an ensemble.

    Attributes:
        model: Its name.
        kind: Of model.
        weight: In the published ensemble.
        mase: On the validation split; None where there is none.
        mase_without: Cross-fitted MASE of a stack without it; None for the only one, or without a stack.
        by_fold: By validation fold, its weight in the stack of the others; none where none was held out.
    """

    former_names: ClassVar[Mapping[str, str]] = {"mase_alone": "mase", "by_block": "by_fold"}

    model: str
    kind: str
    weight: float
    mase: float | None = None
    mase_without: float | None = None
    by_fold: dict[int, float] = Field(default={})


class EnsembleSummary(Document):
    """An ensemble and its members.

    Attributes:
        method: How the weights were fitted; ``best_member``: a single member is used, ``notes`` say why.
        shrinkage: Share of equal weights of the better half of the members.
        calibrated: Whether the quantiles come from errors of the ensemble.
        mase: Of the ensemble on the validation split, cross-fitted; None where there is none.
        mase_stack: The same of the stack, whether it is used or not.
        mase_best_member: The same of the member that is the best of the other folds.
        members: The largest weight first.
        notes: What had to be done differently, in sentences.
    """

    method: Method
    shrinkage: float
    calibrated: bool = True
    mase: float | None = None
    mase_stack: float | None = None
    mase_best_member: float | None = None
    members: list[MemberSummary]
    notes: list[str] = Field(default=[])

    def figures(self) -> dict[str, float]:
        """Figures that the dashboard compares over runs."""
        figures = {"validation_mase": self.mase, "validation_mase_best_member": self.mase_best_member}
        figures |= {f"validation_mase_{member.model}": member.mase for member in self.members}
        figures |= {f"weight_{member.model}": member.weight for member in self.members}
        return {name: value for name, value in figures.items() if value is not None}


def summarise(recipe: StackRecipe) -> EnsembleSummary:
    """The summary of a recipe, for pages and the dashboard."""
    stacked = recipe.method != "best_member"
    members = [
        MemberSummary(
            model=name,
            kind=recipe.members[name],
            weight=weight,
            mase=recipe.member_losses.get(name),
            mase_without=recipe.loss_without.get(name) if stacked else None,
            by_fold={number: weights.get(name, 0.0) for number, weights in recipe.fold_weights.items()},
        )
        for name, weight in sorted(recipe.weights.items(), key=lambda item: -item[1])
    ]
    return EnsembleSummary(
        method=recipe.method,
        shrinkage=recipe.shrinkage,
        calibrated=recipe.calibrated,
        mase=recipe.loss if stacked else recipe.member_losses.get(recipe.best_member or ""),
        mase_stack=recipe.loss,
        mase_best_member=recipe.loss_best_member,
        members=members,
        notes=recipe.notes,
    )
