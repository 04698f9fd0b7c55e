"""Colours for MLIR: a lexer for pygments, by the language reference's lexical rules (mlir.llvm.org/docs/LangRef)."""

from __future__ import annotations

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import RegexLexer, bygroups
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="s-")


class MlirLexer(RegexLexer):
    """Tokens of textual MLIR."""

    name = "MLIR"
    aliases = ("mlir",)
    tokens = {  # noqa: RUF012
        "root": [
            (r"[ \t\n]+", Text.Whitespace),
            (r"//[^\n]*", Comment.Single),
            (r'"(?:[^"\\\n]|\\.)*"', String),
            (r"%[\w$.#:-]+", Name.Variable),
            (r'@(?:"(?:[^"\\\n]|\\.)*"|[\w$.-]+)', Name.Function),
            (r"\^[\w$.-]+", Name.Label),
            (r"#[\w$.-]+", Name.Constant),
            (r"![\w$.]+", Keyword.Type),
            (r"(memref|tensor|vector|tuple|complex)(<)", bygroups(Keyword.Type, Punctuation)),
            (r"\b(?:index|none|[su]?i\d+|bf16|tf32|f\d+\w*)\b", Keyword.Type),
            (r"0x[0-9A-Fa-f]+", Number.Hex),
            (r"-?\d+\.\d*(?:[eE][-+]?\d+)?", Number.Float),
            (r"-?\d+(?=x)", Number.Integer),
            (r"x(?=[a-z!]\w*|\d|\?|\[)", Punctuation),
            (r"-?\d+", Number.Integer),
            (r"\b(?:true|false|unit|dense|affine_map|affine_set|array)\b", Keyword.Constant),
            (r"[A-Za-z_]\w*(?:\.[\w$]+)+", Keyword),
            (r"[A-Za-z_]\w*", Name),
            (r"->|[=+*:?-]", Operator),
            (r"[(){}<>\[\],]", Punctuation),
            (r".", Text),
        ]
    }


def coloured(text: str) -> str:
    """MLIR as HTML: everything escaped, tokens in spans of the classes that `styles` colours."""
    return highlight(text, MlirLexer(), _FORMATTER)


def styles() -> str:
    """The style sheet of those classes, for `.ir`."""
    return _FORMATTER.get_style_defs(".ir")
