"""Search spaces of tuning: ``configs/search/<kind>.yaml``, for Optuna and Katib alike.

A parameter is called as the setting that it changes. Where that is a list, ``hidden_units_2`` is its second
item, and the list is as long as its last item that is named here. There are no conditions between parameters,
since Katib knows none.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import Field, ValidationError, model_validator

from kubecast.config.base import PositiveFloat, PositiveInt, Settings
from kubecast.errors import ConfigError

if TYPE_CHECKING:
    from kubeflow_katib_api.models.v1beta1_parameter_spec import V1beta1ParameterSpec
    from optuna.trial import BaseTrial

Value = str | int | float | bool
S = TypeVar("S", bound=Settings)

_WORD = re.compile(r"[A-Za-z0-9._+-]+")  # what a trial's command line may hold
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # Python's own reads 0_1 and nan
_ITEM = re.compile(r"(.+)_([1-9][0-9]?)")


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _divides(step: float, span: float) -> bool:
    if isinstance(step, int) and isinstance(span, int):  # however large
        return span % step == 0
    return math.isclose(span / step, round(span / step), abs_tol=1e-9)


class _Range(Settings):
    """Numbers from ``low`` to ``high``, both included."""

    log: bool = Field(default=False, description="search the logarithm")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high, step = (getattr(self, name) for name in ("low", "high", "step"))
        if low > high:
            raise ValueError(f"low {low} is above high {high}")
        if self.log and step is not None:
            raise ValueError(f"step {step} with log; allowed: one of them")
        if self.log and low <= 0:
            raise ValueError(f"low {low} with log; allowed: above 0")
        if step is not None and not _divides(step, high - low):
            raise ValueError(f"step {step} does not lead from low {low} to high {high}")
        if step is not None and not _divides(step, low):
            raise ValueError(
                f"low {low} is no multiple of step {step}, which Katib counts from 0; allowed: a multiple, or"
                " type categorical"
            )
        return self

    def katib(self, name: str) -> "V1beta1ParameterSpec":
        """Return the parameter as Katib's Experiment has it."""
        low, high, step = (getattr(self, key) for key in ("low", "high", "step"))
        space = {"min": str(low), "max": str(high), "distribution": "logUniform" if self.log else "uniform"}
        return _katib(name, "double" if self.type == "float" else "int", space, step)  # type: ignore[attr-defined]


class IntParameter(_Range):
    """A whole number."""

    type: Literal["int"]
    low: int
    high: int
    step: PositiveInt | None = None

    def suggest(self, trial: "BaseTrial", name: str) -> int:
        """Let Optuna choose a value."""
        return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)

    def contains(self, value: Any) -> bool:
        """Tell whether a setting's value lies in the space."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and _divides(self.step or 1, value - self.low)

    def parse(self, text: str) -> int:
        """Read what a trial was given."""
        number = _number(text)
        return int(number) if number.is_integer() else int(text)


class FloatParameter(_Range):
    """A number."""

    type: Literal["float"]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    step: PositiveFloat | None = None

    def suggest(self, trial: "BaseTrial", name: str) -> float:
        """Let Optuna choose a value."""
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: Any) -> bool:
        """Tell whether a setting's value lies in the space."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = number and self.low <= value <= self.high
        return inside and (self.step is None or _divides(self.step, value - self.low))

    def parse(self, text: str) -> float:
        """Read what a trial was given."""
        return _number(text)


class CategoricalParameter(Settings):
    """A choice of values."""

    type: Literal["categorical"]
    choices: list[Value] = Field(min_length=1)

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        texts = list(self.texts)
        if len(texts) < len(self.choices):
            raise ValueError(f"choices {self.choices} holds one twice")
        for text in texts:
            if not _WORD.fullmatch(text):
                raise ValueError(f"choice {text!r}; allowed: letters, digits and ._+-")
        return self

    @property
    def texts(self) -> dict[str, Value]:
        """The choices by their text, which a trial's command line holds."""
        return {_text(choice): choice for choice in self.choices}

    def suggest(self, trial: "BaseTrial", name: str) -> Value:
        """Let Optuna choose a value."""
        return trial.suggest_categorical(name, self.choices)  # type: ignore[return-value]  # None is no choice

    def katib(self, name: str) -> "V1beta1ParameterSpec":
        """Return the parameter as Katib's Experiment has it."""
        return _katib(name, "categorical", {"list": list(self.texts)}, None)

    def contains(self, value: Any) -> bool:
        """Tell whether a setting's value lies in the space."""
        return isinstance(value, get_args(Value)) and _text(value) in self.texts

    def parse(self, text: str) -> Value:
        """Read what a trial was given."""
        return self.texts[text]


Parameter = Annotated[IntParameter | FloatParameter | CategoricalParameter, Field(discriminator="type")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Space = dict[Name, Parameter]
"""Parameters by name; where there are none there is nothing to tune."""


def check_names(kind: str, model: type[Settings], space: Space) -> None:
    """Refuse a space with a parameter that names no setting.

    Raises:
        ConfigError: Naming the parameter.
    """
    for name in space:
        try:
            setting_of(model, name)
        except ConfigError as error:
            raise ConfigError(f"search.{kind}.{name}: {error}") from error


def check_space(kind: str, base: Settings, space: Space) -> None:
    """Refuse a space with values that no setting allows, whichever other value goes with them.

    Other combinations that the settings do not allow are trials that fail.

    Args:
        kind: For messages.
        base: What the space's values are put into.
        space: Of the kind.

    Raises:
        ConfigError: Naming the parameter.
    """
    check_names(kind, type(base), space)
    ends = {name: _ends(parameter) for name, parameter in space.items()}
    for name, values in ends.items():
        others = [{other: end} for other in ends if other != name for end in ends[other]]
        for value in values:
            refusal = _refusal(base, space, {name: value})
            if refusal and all(_refusal(base, space, {name: value, **other}) for other in others):
                raise ConfigError(f"search.{kind}.{name}: {refusal}, found {value}")


def _refusal(base: Settings, space: Space, values: Mapping[str, Any]) -> str | None:
    try:
        with_parameters(base, space, values)
    except ConfigError as error:
        return str(error)
    return None


def _ends(parameter: IntParameter | FloatParameter | CategoricalParameter) -> Sequence[Value]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    return [parameter.low, parameter.high]


def with_parameters(base: S, space: Space, values: Mapping[str, Any]) -> S:
    """Put parameters into settings.

    Args:
        base: Holds every other value.
        space: That ``values`` are of; decides how long lists become.
        values: By parameter; those of a list that are left out are the base's.

    Raises:
        ConfigError: A parameter names no setting, or the settings do not allow the values together.
    """
    data = base.model_dump()
    for name in space:
        field, item = _place(type(base), name)
        if item is not None:
            length = _length(type(base), field, space)
            filled = [*data[field], *[data[field][-1]] * length][:length]
            data[field] = filled
    for name, value in values.items():
        field, item = _place(type(base), name)
        if item is None:
            data[field] = value
        else:
            data[field][item] = value
    try:
        return base.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{first['msg'].removeprefix('Value error, ')}") from error


def parameters_of(settings: Settings, space: Space) -> dict[str, Any] | None:
    """The values of a space's parameters in settings; None where one lies outside the space."""
    values = {}
    for name, parameter in space.items():
        field, item = _place(type(settings), name)
        value = getattr(settings, field)
        if item is not None:
            value = value[item] if len(value) == _length(type(settings), field, space) else None
        if not parameter.contains(value):
            return None
        values[name] = value
    return values


def parse_parameters(space: Space, texts: Mapping[str, str]) -> dict[str, Value]:
    """Read a trial's parameters, as Katib writes them.

    Raises:
        ConfigError: One is missing, unknown, or not of its kind.
    """
    if set(texts) != set(space):
        raise ConfigError(f"parameters {', '.join(sorted(texts)) or 'none'}; allowed: {', '.join(space)}")
    values = {}
    for name, parameter in space.items():
        try:
            values[name] = parameter.parse(texts[name])
        except (ValueError, KeyError, OverflowError) as error:
            raise ConfigError(f"parameter {name}={texts[name]}: not of the search space") from error
    return values


def setting_of(model: type[Settings], name: str) -> str:
    """The setting that a parameter changes.

    Raises:
        ConfigError: There is none.
    """
    return _place(model, name)[0]


def _place(model: type[Settings], name: str) -> tuple[str, int | None]:
    """The setting that a parameter changes, and for an item of a list its position from 0."""
    if name in model.model_fields:
        return name, None
    match = _ITEM.fullmatch(name)
    field = model.model_fields.get(match[1]) if match else None
    if match and field and get_origin(field.annotation) is list:
        return match[1], int(match[2]) - 1
    raise ConfigError(
        f"no setting {name}; allowed: {', '.join(model.model_fields)}, or NAME_1 for a list's first item"
    )


def _length(model: type[Settings], field: str, space: Space) -> int:
    """The length that a list gets: up to its last item that the space names."""
    places = (_place(model, name) for name in space)
    return 1 + max(item for place, item in places if place == field and item is not None)


def _katib(name: str, kind: str, space: Mapping[str, Any], step: float | None) -> "V1beta1ParameterSpec":
    from kubeflow_katib_api.models.v1beta1_feasible_space import V1beta1FeasibleSpace
    from kubeflow_katib_api.models.v1beta1_parameter_spec import V1beta1ParameterSpec

    feasible = V1beta1FeasibleSpace(**space, step=None if step is None else str(step))
    return V1beta1ParameterSpec(name=name, parameter_type=kind, feasible_space=feasible)
