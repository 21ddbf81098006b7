"""What may be imported from `kubecast` itself: a new name is a promise to whoever uses it."""

from importlib.metadata import version

import kubecast
from kubecast import api


def test_public_names_are_these_and_no_others() -> None:
    assert kubecast.__all__ == ["Model", "__version__", "fit", "load"]
    assert (kubecast.Model, kubecast.fit, kubecast.load) == (api.Model, api.fit, api.load)
    assert kubecast.__version__ == version("kubecast")


def test_what_a_notebook_may_call_on_a_model() -> None:
    names = {name for name in vars(kubecast.Model) if not name.startswith("_")}
    assert names == {
        "backtest",
        "explain",
        "forecast",
        "leaderboard",
        "metrics",
        "plot",
        "publish",
        "report",
        "save",
    }
