from kubecast.errors import one_line


def test_what_a_library_says_is_one_short_line_without_colours() -> None:
    assert one_line(ValueError("\x1b[31mno table\x1b[0m\n  ↳ no\tlog ")) == "no table no log"
    assert one_line("a" * 300) == "a" * 200
    assert one_line("a" * 300, 120) == "a" * 120
