"""The scorer class of each kind of ranker."""

from __future__ import annotations

from nsad_cli.config.plugins import RANKERS, load_plugin
from nsad_cli.config.ranker_kinds import STEPS
from nsad_cli.errors import NsadError
from nsad_cli.rankers.base import Scorer
from nsad_cli.rankers.combined import CombinedScorer
from nsad_cli.rankers.encoder import EncoderScorer
from nsad_cli.rankers.head import HeadScorer
from nsad_cli.rankers.implicit_prm import ImplicitPrmScorer
from nsad_cli.rankers.linear_probe import ProbeScorer

_BUILT_IN: dict[str, type[Scorer]] = {
    scorer.kind: scorer for scorer in (CombinedScorer, HeadScorer, ImplicitPrmScorer, ProbeScorer, EncoderScorer)
}


def is_available(kind: str) -> bool:
    """Whether a kind of ranker can be used: it is built in, or its plugin can be loaded."""
    return kind == STEPS or _find(kind) is not None


def scorer_class(kind: str) -> type[Scorer]:
    """Return the class of a kind of ranker.

    Raises:
        NsadError: the kind is a plugin's that is not installed, or that cannot be loaded.
    """
    found = _find(kind)
    if found is None:
        raise NsadError(
            f"the ranker `{kind}` cannot be used",
            "no installed package offers it as a subclass of Scorer of that `kind`, or it cannot be loaded",
            "install its package again, or train another kind with `nsad train-ranker --kind head`",
        )
    return found


def _find(kind: str) -> type[Scorer] | None:
    found = _BUILT_IN.get(kind) or load_plugin(RANKERS, kind)
    if isinstance(found, type) and issubclass(found, Scorer) and found.kind == kind:  # a saved ranker names its kind
        return found
    return None
