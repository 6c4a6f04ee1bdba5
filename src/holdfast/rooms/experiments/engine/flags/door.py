"""Assigns what is bound to a request's path, once, before anyone works on it.

    path bound? -> who takes part? -> evaluate each -> ctx.variants, event.variant, response header

Assigned is not yet used: the exposure is written when `variant()` is asked. What is asked for on the way,
bound or not, joins `ctx.variants` (`depends`): caches keep apart what is made from then on.
"""

import logging

from holdfast.kernel.context import Ctx, Fields
from holdfast.ports.services import Scope
from holdfast.rooms.experiments.engine.flags.asking import Asking
from holdfast.rooms.experiments.engine.flags.standing import Standings
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag, Ruleset, UnitKind

logger = logging.getLogger("holdfast.experiments")
MOST_HEADERS = 1000
"""Header values whose bytes are kept ready."""
BESIDE = "+"
"""Between variants of one flag; no variant's name holds it."""


class Assigned(dict[str, str]):
    """What the door gave a request: flag -> variant, and `found` for how it came to it."""

    __slots__ = ("found",)

    def __init__(self, found: dict[str, Evaluation]) -> None:
        super().__init__({name: each.variant for name, each in found.items()})
        self.found = found


def depends(ctx: Ctx, found: Evaluation) -> None:
    """From now on the request depends on this evaluation: whatever it keeps or sends is of that variant.

    Counted or not: what a bot was given, or the off side of a plain flag, is no answer for others either.
    Of a flag that gave several units several variants all are named, in their order.
    """
    variants = ctx.variants
    known = variants.get(found.flag) if variants else None
    if known == found.variant:
        return
    if known is not None and found.variant in known.split(BESIDE):
        return
    if type(variants) is not Assigned:
        before, variants = variants, Assigned({})
        variants.update(before or {})
        ctx.variants = variants
    variants[found.flag] = found.variant if known is None else f"{known}{BESIDE}{found.variant}"


class Door:
    """The port `Assignment` over the rules of this process."""

    def __init__(self, asking: Asking, standings: Standings, header: str) -> None:
        self._asking = asking
        self._standings = standings
        self._header = header.lower().encode("latin-1")
        self._bound: tuple[tuple[tuple[str, ...], str, UnitKind], ...] = ()
        self._prefixes: tuple[str, ...] = ()
        self.assigns = False
        self._fields: dict[str, Fields] = {}
        asking.rulebook.on_change(self.bind)

    def bind(self, ruleset: Ruleset) -> None:
        """Heed the routes of these rules from now on."""
        flags = [ruleset.flags[name] for name in sorted(ruleset.flags) if ruleset.flags[name].routes]
        self._bound = tuple((_prefixes(flag), flag.name, flag.unit) for flag in flags)
        self._prefixes = tuple({prefix for prefixes, _, _ in self._bound for prefix in prefixes})
        self.assigns = bool(self._prefixes)

    def assign(self, scope: Scope, ctx: Ctx) -> None:
        """As the port says."""
        try:
            path = scope["path"]
            if path.startswith(self._prefixes):
                self._assign(path, scope, ctx)
        except Exception:
            logger.exception("the door could not assign")
            self._asking.erred("(door)", "GENERAL")

    def binds(self) -> bool:
        """As the port says: a flag that is bound nowhere may be asked anywhere."""
        return bool(self._asking.rulebook.ruleset.flags)

    def _assign(self, path: str, scope: Scope, ctx: Ctx) -> None:
        standing = self._standings.of(scope, ctx)
        asking = self._asking
        found = {}
        for prefixes, name, kind in self._bound:
            if path.startswith(prefixes):
                unit = standing.unit(kind)
                found[name] = (
                    asking.evaluate(name, unit, standing.attributes)
                    if standing.takes_part
                    else asking.off(name, unit)
                )
        ctx.variants = Assigned(found)
        text = ",".join([f"{name}={each.variant}" for name, each in found.items()])
        ctx.event.variant = text
        if self._header:
            fields = self._fields_of(text)
            ctx.headers = fields if not ctx.headers else (*ctx.headers, *fields)

    def _fields_of(self, text: str) -> Fields:
        fields = self._fields.get(text)
        if fields is None:
            if len(self._fields) >= MOST_HEADERS:
                self._fields.clear()
            # Names and variants are of letters, digits and a few signs: see `rules/checking.py`.
            fields = self._fields[text] = Fields(((self._header, text.encode("latin-1")),))
        return fields


def _prefixes(flag: Flag) -> tuple[str, ...]:
    return tuple(sorted(set(flag.routes)))
