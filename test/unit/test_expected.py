"""What `--verify-diagnostics` makes of the comments of a file."""

import pytest
from neomlir.tools.expected import check


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("f // expected-error {{bad}}", 1),
        ("// expected-error@+1 {{bad}}\nf", 2),
        ("f\n\n// expected-error @-2 {{bad}}", 1),
        ("// expected-error@below {{bad}}\nf", 2),
        ("// expected-error@below {{bad}}\n// expected-note@below 0 {{x}}\nf", 3),
        ("f\n// expected-note@above 0 {{x}}\n// expected-error@above {{bad}}", 1),
        ("// expected-error@unknown {{bad}}", None),
        ("f // expected-error {{}}", 1),
        ("f // expected-error-re {{{{^}}b{{a.}}{{$}}}}", 1),
        ("f // expected-error-re {{{{[[:lower:]]{3}}}}}", 1),
        ("f // expected-error-re {{{{a|b}}ad}}", 1),
    ],
)
def test_a_form_that_is_met(text, line):
    assert check(text, [("error", line, "bad")]) == []
    assert check(text, [("error", (line or 0) + 7, "bad")]) != []
    assert check(text, []) != []
    assert check(text, [("warning", line, "bad")]) != []


def test_each_expectation_takes_one_diagnostic():
    text = "f // expected-error {{bad}} expected-note {{why}}"
    both = [("error", 1, "bad"), ("note", 1, "why")]
    assert check(text, both) == []
    assert check(text, [*both, ("error", 1, "bad")]) == [(1, "unexpected error: bad")]
    assert check("f // expected-error 2 {{bad}}", [("error", 1, "bad")] * 2) == []


def test_plain_text_is_no_pattern():
    assert check("// expected-error {{a.c}}", [("error", 1, "abc")]) == [
        (1, "unexpected error: abc"),
        (1, 'expected error "a.c" was not produced'),
    ]


def test_complaints():
    assert check("f // expected-warning {{bad}}", [("error", 1, "bad")]) == [
        (1, "'error' diagnostic emitted when expecting a 'warning': bad"),
        (1, 'expected warning "bad" was not produced'),
    ]
    assert check("f", [("note", 1, "why"), ("error", None, "lost")]) == [
        (1, "unexpected note: why"),
        (None, "unexpected error: lost"),
    ]
    [(line, complaint)] = check("\nf // expected-error-re {{{{(}}}}", [])
    assert line == 2
    assert complaint.startswith("invalid regular expression in expected error")


def test_only_expected():
    diagnostics = [("error", 1, "bad"), ("note", 1, "why")]
    assert check("f // expected-error {{bad}}", diagnostics, only_expected=True) == []
    assert check("f // expected-error {{worse}}", diagnostics, only_expected=True) == [
        (1, 'expected error "worse" was not produced')
    ]
