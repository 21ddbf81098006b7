import pytest

from kubecast.errors import InvalidName
from kubecast.names import check_name


@pytest.mark.parametrize("name", ["a", "7", "demand-uk_2.1", "A" * 128])
def test_plain_names_are_allowed(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "é", "٣", "-a", ".hidden", "_a", "a\n", "a\\b", "a:b", "A" * 129]
)
def test_other_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(InvalidName, match=r"^alias .* is not allowed; allowed: 1 to 128 of") as caught:
        check_name(name, "alias")
    assert "\n" not in str(caught.value)
