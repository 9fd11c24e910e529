r"""Model text for the terminal: LaTeX rendered as Unicode, control characters escaped.

LaTeX: `\frac{3}{4}` as 3/4, `x^{2}` as x². Unknown commands are unchanged.

The libraries that were tried change the meaning of formulas (`\frac{x+1}{2}` became x+1/2) or leave most unchanged.
"""

from __future__ import annotations

import re
import unicodedata

RIGHT, WRONG, UNKNOWN = "✓", "✗", "·"
"""Glyphs for the correctness of an answer, so that no meaning depends on colour alone."""
CONTROL_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of control and format characters."""
MAX_CHARS = 20_000
"""Longer texts are not rendered."""
OPEN, CLOSE = "\ue000", "\ue001"
"""Placeholders for literal braces."""
SYMBOLS = {
    "times": "×", "cdot": "·", "div": "÷", "pm": "±", "mp": "∓", "ast": "*", "circ": "∘", "degree": "°",
    "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥", "ne": "≠", "neq": "≠",
    "approx": "≈", "equiv": "≡", "sim": "∼", "cong": "≅", "lt": "<", "gt": ">", "infty": "∞", "sum": "∑", "prod": "∏",
    "int": "∫", "in": "∈", "notin": "∉", "cup": "∪", "cap": "∩", "subset": "⊂", "subseteq": "⊆", "emptyset": "∅",
    "varnothing": "∅", "setminus": "∖", "mid": "|", "parallel": "∥", "perp": "⊥", "angle": "∠", "triangle": "△",
    "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "implies": "⇒", "iff": "⇔", "therefore": "∴", "because": "∵",
    "ldots": "…", "dots": "…", "cdots": "⋯", "prime": "′", "forall": "∀", "exists": "∃", "neg": "¬", "land": "∧",
    "lor": "∨", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "langle": "⟨", "rangle": "⟩", "ell": "ℓ",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
    "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
    "lbrace": OPEN, "rbrace": CLOSE, "quad": " ", "qquad": " ", "left": "", "right": "", "displaystyle": "",
}  # fmt: skip
FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan log ln exp lim min max gcd lcm mod"
SYMBOLS |= {name: name for name in FUNCTIONS.split()}
SPACED = set("×÷±∓≤≥≠≈≡∈∉∪∩⊂⊆→⇒⇔")
BLACKBOARD = dict(zip("CNQRZ", "ℂℕℚℝℤ", strict=True))
_SYMBOL = re.compile(rf" ?\\({'|'.join(sorted(SYMBOLS, key=len, reverse=True))})(?![A-Za-z]) ?")
_RAISED = str.maketrans("0123456789+-−=()nixy", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱˣʸ")
_LOWERED = str.maketrans("0123456789+-−=()aeoxinkmt", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₒₓᵢₙₖₘₜ")
_INNER = r"\{([^{}]*)\}"
_PART = rf"(?:{_INNER}|([A-Za-z0-9]))"
_PLAIN = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf)|operatorname|boxed|[fm]box)\s*" + _INNER)
_FRACTION = re.compile(rf"([\dA-Za-z]?)\\[dtc]?frac\s*{_PART}\s*{_PART}(?=([\wπ√\\])?)")
_ROOT = re.compile(rf"\\sqrt\s*(?:\[([^][{{}}]*)\])?\s*{_PART}")
_OVERLINE = re.compile(r"\\overline\s*" + _INNER)
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_POWER = re.compile(rf"\^\s*(?:{_INNER}|([A-Za-z0-9]|[-−]\d))")
_PLAIN_POWER = re.compile(rf"\^\s*(?:{_INNER}|([A-Za-z]|[-−]?\d+(?!\.?\d)))")  # without LaTeX 2^10 is 2 to the tenth
_INDEX = re.compile(rf"(?:_{_INNER}|(?<=(?<![A-Za-z_])[A-Za-z])_([0-9])(?![0-9])|(?<=log)_([0-9])(?![0-9]))")
_ENVIRONMENT = re.compile(r"\\begin\{(\w+)\*?\}(?:\{[^{}]*\})?((?:(?!\\begin\{).)*?)\\end\{\1\*?\}", re.DOTALL)


def render_latex(text: str) -> str:
    """Render LaTeX in one line of Unicode: fractions, roots, powers, symbols, matrices by rows."""
    if len(text) > MAX_CHARS or not re.search(r"[\\^]|_[{\d]|\{,\}", text):
        return text
    latex = "\\" in text or bool(re.search(r"[\^_]\{", text))
    text = re.sub(r"(?<=\d)\{,\}(?=\d)", ",", text)
    text = text.replace(r"\{", OPEN).replace(r"\}", CLOSE)
    text = _ENVIRONMENT.sub(lambda found: _rows(found[2]), text)
    text = re.sub(r"\\[()\[\]]|\\[!]|\$\$", "", text)
    text = re.sub(r"\\([,;: %$&#_])", lambda found: " " if found[1] in ",;: " else found[1], text)
    text = _DEGREES.sub("°", text)
    text = re.sub(r"\\mathbb\s*\{?([CNQRZ])\b\}?", lambda found: BLACKBOARD[found[1]], text)
    text = _SYMBOL.sub(_symbol, text)
    for _ in range(12):  # from the innermost braces out
        before = text
        for pattern, write in (
            (_PLAIN, lambda found: found[1]),
            (_OVERLINE, _overlined),
            (_POWER if latex else _PLAIN_POWER, lambda found: _script("^", _first_group(found), _RAISED)),
            (_INDEX, lambda found: _script("_", _first_group(found), _LOWERED)),
            (_FRACTION, _fraction),
            (_ROOT, _root),
        ):
            text = pattern.sub(write, text)
        if latex:
            text = re.sub(r"(?<![A-Za-z\]}])" + _INNER, r"\1", text)  # braces that only group
        if text == before:
            break
    text = re.sub(r"(?<=\S)  +", " ", text).replace(OPEN, "{").replace(CLOSE, "}")
    return text.strip(" ") if latex else text


def _symbol(found: re.Match[str]) -> str:
    symbol = SYMBOLS[found[1]]
    before, after = found[0][:1] == " ", found[0][-1:] == " "
    if symbol in SPACED:
        return f" {symbol} "
    if not symbol or symbol == "·":
        return symbol
    # A space after a command only terminates its name, except after a word.
    return " " * before + symbol + " " * (after and not (len(symbol) == 1 and symbol.isalpha() and not before))


def _first_group(found: re.Match[str]) -> str:
    return next((group for group in found.groups() if group is not None), "")


def _fraction(found: re.Match[str]) -> str:
    before, over, over_one, under, under_one, after = found.groups()
    under = under_one or under or ""
    simple = re.fullmatch(r"\s*(\d[\d.,]*|\w|√\w+)\s*", under)
    text = f"{_bracketed(over_one or over)}/{under.strip() if simple else _bracketed(under, strict=True)}"
    return (f"{before} " if before else "") + text + (" " if after is not None else "")


def _root(found: re.Match[str]) -> str:
    degree, inner, one = found.groups()
    sign = "√" if degree in (None, "", "2") else _script("", degree, _RAISED) + "√"
    return sign + _bracketed(one or inner)


def _overlined(found: re.Match[str]) -> str:
    return "".join(char + "\N{COMBINING OVERLINE}" for char in found[1]) if found[1].isalnum() else found[1]


def _script(mark: str, text: str, table: dict[int, int]) -> str:
    """Convert to superscript or subscript if every character has one, else write it after its mark."""
    small = text.strip().translate(table)
    if small and all(ord(char) in table for char in text.strip()):
        return small
    return mark + (text.strip() if len(text.strip()) == 1 else f"({text.strip()})")


def _bracketed(text: str | None, *, strict: bool = False) -> str:
    """Add brackets, unless it is one number or name (strict: unless it has brackets already)."""
    text = (text or "").strip()
    whole = re.fullmatch(r"\([^()]*\)", text) or (not strict and re.fullmatch(r"[-−]?[\w.,°√]*", text))
    return text if whole else f"({text})"


def _rows(body: str) -> str:
    """Format a matrix: rows separated by semicolons, cells by commas."""
    rows = [", ".join(cell.strip() for cell in row.split("&")) for row in body.split(r"\\") if row.strip()]
    return f"[{'; '.join(rows)}]"


def escape_controls(text: str) -> str:
    """Escape control characters, bidirectional marks and invisible characters; newlines and tabs are unchanged."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in CONTROL_CATEGORIES else _escape(ord(char))
        for char in text
    )


def escape_json(text: str) -> str:
    """Escape the control characters that JSON allows in strings (C1, bidirectional and invisible ones) as JSON does."""
    return re.sub(
        r"[\x7f-\U0010ffff]",
        lambda match: match[0] if unicodedata.category(match[0]) not in CONTROL_CATEGORIES else _json_escape(match[0]),
        text,
    )


def _json_escape(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le", "surrogatepass")).cast("H"))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
