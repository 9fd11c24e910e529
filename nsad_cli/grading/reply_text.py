"""The part of a reply that may state an answer: no reasoning, no program, no control tokens, no emphasis."""

from __future__ import annotations

import re
import unicodedata

_REASONING = r"(?:think(?:ing)?|thoughts?|reasoning|reason|reflection|scratchpad|analysis|seed:think)"
_OPENED = re.compile(
    rf"<\s?{_REASONING}\s?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis(?:<\|message\|>)?",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    rf"<\s?/\s?{_REASONING}\s?>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final(?:<\|message\|>)?",
    re.IGNORECASE,
)
_TURN_END = re.compile(
    r"<\|(?:eot_id|im_end|endoftext|end_of_text|end|return|eom_id|end_of_solution|user|im_start)\|>|<end_of_turn>|</s>"
    r"|<eos>|<｜end▁of▁sentence｜>|<｜User｜>"
)
_TOKEN = re.compile(r"<\|[a-z_]{2,30}\|>|<start_of_turn>(?:model)?|<s>|<pad>|<｜[^｜<>\n]{1,40}｜>|\[/?INST\]")
_FENCE = re.compile(r"^[ \t>]*(?:```+|~~~+)[ \t]*([\w+#-]*)[^\n]*$", re.MULTILINE)
_LANGUAGES = frozenset(
    (
        *(
            "python",
            "python3",
            "py",
            "c",
            "cpp",
            "c++",
            "java",
            "javascript",
            "js",
            "typescript",
            "ts",
            "sql",
            "bash",
            "sh",
        ),
        *("shell", "r", "matlab", "julia", "rust", "go", "ruby", "sympy", "haskell", "lean", "lean4", "wolfram", "php"),
    )
)
_PROGRAM = re.compile(r"^[ \t]{0,40}(?:import|from|def|for|while|return|print|class)\b[ (]", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<![\w)\]}*$])(?:\*\*|__)(?=[^\s*_])|(?<=[^\s*_])(?:\*\*|__)(?![\w(\[{\\*^-])")
_QUOTE = re.compile(r"^[ \t]{0,9}>[ \t]", re.MULTILINE)
_LOST_BACKSLASH = (
    (re.compile(r"(?<![\\a-zA-Z])(?:\x08|b)?oxed(?=\{)"), r"\\boxed"),
    (re.compile(r"\x0c(?=rac)"), r"\\f"),
    (re.compile(r"\t(?=ext\{|imes(?![a-z])|heta(?![a-z]))"), r"\\t"),
)
_WIDE = str.maketrans("：（）＝＋．，％", ":()=+.,%")


def answer_text(text: str) -> str:
    """Remove what does not belong to the answer of a reply.

    Reasoning between tags is removed, also without an opening or a closing tag, and what follows the end of the turn.
    Of programs only the output stays.
    """
    text = _without_reasoning(text)
    end = next((match for match in _TURN_END.finditer(text) if text[: match.start()].strip()), None)
    text = _TOKEN.sub("", text[: end.start()] if end else text)
    if not text.isascii():
        text = "".join(map(_ascii_digit, text)).translate(_WIDE)
    if "```" in text or "~~~" in text:
        text = _without_programs(text)
    if re.search(r"(?<!\\)\\\\boxed", text):  # an escaped reply
        text = text.replace("\\\\", "\\")
    for lost, command in _LOST_BACKSLASH:
        text = lost.sub(command, text)
    text = _QUOTE.sub("", text) if ">" in text else text
    return _EMPHASIS.sub("", text) if "**" in text or "__" in text else text


def _without_reasoning(text: str) -> str:
    closed = None
    for match in _CLOSED.finditer(text):
        closed = match
    if closed:
        text = text[closed.end() :]
    opened = _OPENED.search(text)
    return text[: opened.start()] if opened else text


def _ascii_digit(sign: str) -> str:
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign


def _without_programs(text: str) -> str:
    """Drop the blocks of programs, and the fences of all others."""
    fences, pieces, at = [*_FENCE.finditer(text)], [], 0
    for opening, closing in zip(fences[::2], [*fences[1::2], None], strict=False):
        pieces.append(text[at : opening.start()])
        end = closing.start() if closing else len(text)
        block = text[opening.end() : end]
        if not (opening[1].lower() in _LANGUAGES or _PROGRAM.search(block)):
            pieces.append(block)
        at = closing.end() if closing else len(text)
    return "".join([*pieces, text[at:]])
