"""``arima.yaml``."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveInt
from kubecast.config.model import ModelSettings


class ArimaSettings(ModelSettings):
    """``arima.yaml``."""

    renamed: ClassVar[Mapping[str, str]] = {"averaged": "n_models"}

    engine: Literal["auto", "css", "pmdarima", "statsforecast", "burg"] = Field(
        default="auto",
        description="what searches and estimates; css: conditional least squares, by far the fastest; auto:"
        " css, or statsforecast where every series is short, as its likelihood uses the first rows too; burg:"
        " no search but a long autoregression, of max_order's p, by Burg's method in milliseconds",
    )
    max_order: Annotated[list[Annotated[int, Field(ge=0, le=168)]], Field(min_length=3, max_length=3)] = (
        Field(
            default=[5, 1, 5],
            description="the largest p, d and q, each; not pmdarima's max_order, which is their sum",
        )
    )
    seasonal: bool = Field(default=False, description="search seasonal orders at the first season length")
    information_criterion: Literal["aic", "aicc", "bic"] = Field(
        default="aic", description="or aicc, bic: what the search makes small"
    )
    stepwise: bool = Field(default=True, description="false: the search tries every order")
    seasonal_test: Literal["ocsb", "ch"] = Field(
        default="ocsb", description="or ch: decides on a seasonal difference"
    )
    deseasonalize: Literal["auto", "profile", "fourier", "none"] = Field(
        default="auto",
        description="how seasons are removed before the search; auto: the profile that forecasts the newest"
        " training rows best, or none; if seasonal, none",
    )
    n_models: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="season profiles, each with an ARIMA of its own, whose forecasts are averaged: the best"
        " on the newest training rows, the better the heavier",
    )
    fourier_terms: PositiveInt = Field(default=4, description="sine and cosine pairs for each season length")
    max_rows: PositiveInt = Field(default=5000, description="newest rows of each series that a fit sees")

    @model_validator(mode="after")
    def _effective(self) -> Self:
        d = self.max_order[1]
        if d > 2:
            raise ValueError(
                f"max_order {self.max_order} differences {d} times; allowed: a second number of 0 to 2"
            )
        self._check_burg()
        if self.seasonal and self.deseasonalize in ("profile", "fourier"):
            raise ValueError(
                f"deseasonalize {self.deseasonalize} removes the season that seasonal searches;"
                " allowed: auto, none"
            )
        # Not model_fields_set: a pipeline parameter names every key.
        if self.deseasonalize != "fourier" and self.fourier_terms != 4:
            raise ValueError(
                f"fourier_terms has no effect with deseasonalize {self.deseasonalize}; allowed: fourier"
            )
        return self

    def _check_burg(self) -> None:
        p, _, q = self.max_order
        if self.engine == "burg" and (q or self.seasonal):
            what = f"max_order {self.max_order}" if q else "seasonal: true"
            raise ValueError(
                f"{what} with engine burg, which is an autoregression of neighbouring steps; allowed: a third"
                " number of 0 and seasonal: false, or another engine"
            )
        if self.engine != "burg" and max(p, q) > 24:
            raise ValueError(
                f"max_order {self.max_order}: a search of such orders takes too long; allowed: at"
                " most 24, or engine burg"
            )
