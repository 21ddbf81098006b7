"""How the members of an ensemble were weighed, and what each adds."""

from pydantic import Field

from kubecast.documents import Document
from kubecast.ensemble.stacking import Method, StackRecipe


class WeighedMember(Document):
    """One member.

    Attributes:
        model: Its name.
        kind: Of model.
        weight: In the published ensemble.
        mase_alone: On the validation part.
        mase_without: Cross-fitted MASE of a stack without it; None for the only one, or without a stack.
        by_block: By validation block, its weight in the stack of the others; none where none was held out.
    """

    model: str
    kind: str
    weight: float
    mase_alone: float
    mase_without: float | None = None
    by_block: dict[int, float] = Field(default={})


class Weighed(Document):
    """The ensemble.

    Attributes:
        method: How the weights were fitted; ``best_member``: that one alone, as ``notes`` tell.
        shrinkage: Share of equal weights of the better half of the members.
        mase: Of the ensemble on the validation part, cross-fitted.
        mase_stack: The same of the stack, whether it is used or not.
        mase_best_member: The same of the member that is the best of the other blocks.
        members: The largest weight first.
        notes: What had to be done differently, in sentences.
    """

    method: Method
    shrinkage: float
    mase: float
    mase_stack: float
    mase_best_member: float
    members: list[WeighedMember]
    notes: list[str] = Field(default=[])

    def figures(self) -> dict[str, float]:
        """What the dashboard compares over runs."""
        figures = {"validation_mase": self.mase, "validation_mase_best_member": self.mase_best_member}
        figures |= {f"validation_mase_{member.model}": member.mase_alone for member in self.members}
        return figures | {f"weight_{member.model}": member.weight for member in self.members}


def weighed(recipe: StackRecipe) -> Weighed:
    """Tell of a recipe what people look at."""
    stacked = recipe.method != "best_member"
    members = [
        WeighedMember(
            model=name,
            kind=recipe.members[name],
            weight=weight,
            mase_alone=recipe.loss_alone[name],
            mase_without=recipe.loss_without.get(name) if stacked else None,
            by_block={block: weights.get(name, 0.0) for block, weights in recipe.block_weights.items()},
        )
        for name, weight in sorted(recipe.weights.items(), key=lambda item: -item[1])
    ]
    return Weighed(
        method=recipe.method,
        shrinkage=recipe.shrinkage,
        mase=recipe.loss if stacked else recipe.loss_alone[recipe.best_member],
        mase_stack=recipe.loss,
        mase_best_member=recipe.loss_best_member,
        members=members,
        notes=recipe.notes,
    )
