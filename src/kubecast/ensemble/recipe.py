"""The recipe of an ensemble: its members, their weights and its quantiles."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kubecast.documents import Document
from kubecast.models import known_kinds
from kubecast.names import check_name
from kubecast.scoring.conformal import ConformalQuantiles

Weights = dict[str, float]
"""By member, in the members' order."""

Method = Literal["greedy", "nnls", "ols", "equal", "best_member"]


class StackRecipe(Document):
    """The way from members to an ensemble, and the errors that it was chosen by.

    Attributes:
        method: How the weights were fitted; ``best_member``: a single member is used, ``notes`` say why.
        shrinkage: Share of equal weights of the better half of the members in the weights.
        weights: By member; a member with weight 0 is not needed to forecast.
        members: Kind by member.
        missing: Reason by configured member that failed.
        quantiles: As published, from the errors of the validation and the test part.
        judged_quantiles: As evaluated on the test part, from the errors of the validation part only.
        scales: By series; None for one that never varied, whose quantiles equal its point forecast.
        season_length: MASE's m, for the scales of series that were not there.
        best_member: The one with the smallest MASE on the validation part.
        loss: Cross-fitted MASE of the stack on the validation part, with the shrinkage that was chosen there.
        loss_best_member: The same of the member that is the best of the other blocks.
        loss_alone: The same of each single member.
        loss_without: The same of a stack without that member; none for the only one.
        block_weights: By validation block, the stack's weights that its forecasts were combined with, also
            where ``best_member`` is used.
        notes: What had to be done differently, in sentences.
    """

    document_name: ClassVar[str] = "an ensemble's recipe"

    schema_version: Literal[1] = 1
    method: Method
    shrinkage: float = 0.0
    weights: Weights
    members: dict[str, str]
    missing: dict[str, str] = Field(default={})
    quantiles: ConformalQuantiles
    judged_quantiles: ConformalQuantiles
    scales: dict[str, float | None]
    season_length: int
    best_member: str
    loss: float
    loss_best_member: float
    loss_alone: dict[str, float]
    loss_without: dict[str, float] = Field(default={})
    block_weights: dict[int, Weights] = Field(default={})
    notes: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        kinds = known_kinds()
        for name, kind in self.members.items():
            check_name(name, "member")
            if kind not in kinds:
                raise ValueError(f"member {name} is of kind {kind}; allowed: {', '.join(kinds)}")
        if unknown := set(self.weights) - set(self.members):
            raise ValueError(f"weights of {', '.join(sorted(unknown))}, which is no member")
        return self

    @property
    def active(self) -> list[str]:
        """Members that are needed to forecast."""
        return [name for name, weight in self.weights.items() if weight != 0]

    def as_evaluated(self) -> "StackRecipe":
        """The recipe with the quantiles that the test part evaluated, from the validation part only."""
        return self.model_copy(update={"quantiles": self.judged_quantiles})
