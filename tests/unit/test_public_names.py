"""What may be imported from `kubecast` itself: a new name is a promise to whoever uses it."""

import kubecast
from kubecast.api import fit


def test_public_names_are_these_and_no_others() -> None:
    assert kubecast.__all__ == ["fit"]
    assert kubecast.fit is fit
