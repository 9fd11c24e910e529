"""LaTeX in a terminal."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.utils.terminal_text import render_latex


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{3}{4}", "3/4"),
        (r"\frac34", "3/4"),
        (r"2\frac34", "2 3/4"),
        (r"\dfrac{x+1}{2}", "(x+1)/2"),
        (r"\frac{x}{2a}", "x/(2a)"),
        (r"\frac{(x+1)}{(y-1)}", "(x+1)/(y-1)"),
        (r"\frac{(x+1)(x-1)}{2}", "((x+1)(x-1))/2"),
        (r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}", "(-b ± √(b²-4ac))/(2a)"),
        (r"\frac{1}{\frac{1}{2}+1}", "1/(1/2+1)"),
        (r"\frac{1}{2}\frac{3}{4}", "1/2 3/4"),
        (r"\sqrt{2}", "√2"),
        (r"\sqrt[3]{x+1}", "³√(x+1)"),
        (r"3\pi \times 2 \le 5", "3π × 2 ≤ 5"),
        (r"x\leq5", "x ≤ 5"),
        (r"2^{10}", "2¹⁰"),
        ("10^-3", "10⁻³"),
        ("2^10 = 1024", "2¹⁰ = 1024"),
        ("x^10 + x^2y", "x¹⁰ + x²y"),
        ("10^-12 and 2^1.5 or 2^10.25.", "10⁻¹² and 2^1.5 or 2^10.25."),
        (r"\(2^10\)", "2¹0"),
        (r"f^{q}", "f^q"),
        (r"x_{n+1} = 2^{n-1}", "xₙ₊₁ = 2ⁿ⁻¹"),
        (r"\sum_{i=1}^{n} i", "∑ᵢ₌₁ⁿ i"),
        (r"\log_2 8", "log₂ 8"),
        (r"90^{\circ}", "90°"),
        (r"50\%", "50%"),
        (r"\$1{,}000", "$1,000"),
        (r"\boxed{7}", "7"),
        (r"12\sqrt{3}\text{ cm}^2", "12√3 cm²"),
        (r"\left(\frac{1}{2},3\right)", "(1/2,3)"),
        (r"x \in [0,1) \cup (2,\infty)", "x ∈ [0,1) ∪ (2,∞)"),
        (r"\{1,2\}", "{1,2}"),
        (r"\begin{pmatrix} \frac{1}{2} & 3\\ x^2 & 4\end{pmatrix}", "[1/2, 3; x², 4]"),
        (r"\(x = 3\)", "x = 3"),
        (r"\mathbb{R}", "ℝ"),
    ],
)
def test_what_it_looks_like(latex: str, text: str) -> None:
    assert render_latex(latex) == text


@pytest.mark.parametrize("text", ["{1, 2}", "50% of 5", "$5 and $6", "a_b & c # d", "foo_bar_2", r"C:\temp\new", "7 "])
def test_what_is_no_latex_stays(text: str) -> None:
    assert render_latex(text) == text


@pytest.mark.parametrize(
    "hostile", ["\\frac{" * 3000, "{" * 20_000, "\\begin{a}" * 2000, "^{" * 9000, "\\sqrt[" * 3000, "x_{1}^" * 3000]
)
def test_hostile_text_is_soon_done(hostile: str) -> None:
    started = time.perf_counter()
    render_latex(hostile)
    assert time.perf_counter() - started < 2


@given(st.text(alphabet="\\{}^_$&frac sqrtx12+-()[]\n", max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(render_latex(text), str)


@given(st.text(alphabet=st.characters(exclude_characters="\\^_{}"), max_size=60))
def test_plain_text_is_never_changed(text: str) -> None:
    assert render_latex(text) == text
