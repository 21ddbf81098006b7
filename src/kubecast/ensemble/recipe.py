"""The recipe of an ensemble: its members, their weights and its quantiles."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kubecast.data.levels import ScaleLevels
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
        quantiles: As published, from the errors of the validation and the test split; of a short history as
            evaluated.
        evaluated_quantiles: As evaluated on the test split, from the errors of the validation split only, or
            from the seasonal naive where they are not calibrated.
        scales: By series; None for one that never varied, whose quantiles equal its point forecast.
        level_ratios: Of series whose level shifted inside their training rows, their scale over that of the
            same rows at the former level.
        level_changes: Of the same, the new level over the former one; 1 where it moved by a difference. None
            in versions whose ``level_ratios`` are of levels.
        season_length: MASE's m, for the scales of series that were not there.
        relative_scale: Median scale by mean absolute target, for those of them that have too few rows for a
            scale of their own.
        calibrated: Whether the quantiles come from errors of the ensemble, and not, as where there are too
            few, from the seasonal naive's own: its forecast variance before the test split where series are
            few, else its errors on the training rows.
        best_member: The one with the smallest MASE on the validation split; None, as the losses, where there
            is no validation split.
        loss: Cross-fitted MASE of the stack on the validation split, with the shrinkage chosen there; as all
            losses, on a sample of its series where the panel is large; ``notes`` name how many.
        loss_best_member: The same of the member that is the best of the other folds.
        member_losses: The same of each single member.
        loss_without: The same of a stack without that member; none for the only one.
        fold_weights: By validation fold, the stack's weights that its forecasts were combined with, also
            where ``best_member`` is used.
        notes: What had to be done differently, in sentences.
    """

    document_name: ClassVar[str] = "an ensemble's recipe"
    former_names: ClassVar[Mapping[str, str]] = {
        "judged_quantiles": "evaluated_quantiles",
        "loss_alone": "member_losses",
        "block_weights": "fold_weights",
    }

    schema_version: Literal[1] = 1
    method: Method
    shrinkage: float = 0.0
    weights: Weights
    members: dict[str, str]
    missing: dict[str, str] = Field(default={})
    quantiles: ConformalQuantiles
    evaluated_quantiles: ConformalQuantiles
    scales: dict[str, float | None]
    level_ratios: dict[str, float] = Field(default={})
    level_changes: dict[str, float] = Field(default={})
    season_length: int
    relative_scale: float | None = None
    calibrated: bool = True
    best_member: str | None = None
    loss: float | None = None
    loss_best_member: float | None = None
    member_losses: dict[str, float] = Field(default={})
    loss_without: dict[str, float] = Field(default={})
    fold_weights: dict[int, Weights] = Field(default={})
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

    @property
    def levels(self) -> ScaleLevels:
        """Those of the scales."""
        return ScaleLevels(self.level_ratios, self.level_changes)

    def as_evaluated(self) -> "StackRecipe":
        """The recipe with the quantiles that the test split evaluated, from the validation split only."""
        return self.model_copy(update={"quantiles": self.evaluated_quantiles})
