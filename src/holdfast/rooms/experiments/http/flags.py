"""The addresses of flags, their overrides, segments, layers and the holdout: all for administrators."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.experiments.engine.flags.editing import Editor, attributes_of
from holdfast.rooms.experiments.http.answers import GONE, actor, said, same_name
from holdfast.rooms.experiments.rules.checking import gaps
from holdfast.rooms.experiments.rules.evaluating import Steps
from holdfast.rooms.experiments.rules.flags import (
    Change,
    Flag,
    Holdout,
    Layer,
    Rule,
    Segment,
    Share,
    UnitKind,
)


class FlagList(msgspec.Struct, frozen=True):
    """All flags, as this process goes by them."""

    version: int
    stale: bool
    """Whether the rules cannot be read now, and these are the last ones."""
    flags: list[Flag]


class FlagShown(msgspec.Struct, frozen=True):
    """A flag with who has an override."""

    flag: Flag
    overrides: dict[str, str]


class FlagPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields to set; those left out stay. `generation` makes it fail where somebody was faster."""

    variants: dict[str, Any] | UnsetType = UNSET
    off: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    rules: tuple[Rule, ...] | UnsetType = UNSET
    unit: UnitKind | UnsetType = UNSET
    phase: int | UnsetType = UNSET
    layer: str | UnsetType = UNSET
    slots: tuple[Share, Share] | UnsetType | None = UNSET
    heeds_holdout: bool | UnsetType = UNSET
    routes: tuple[str, ...] | UnsetType = UNSET
    client: bool | UnsetType = UNSET
    description: str | UnsetType = UNSET
    generation: int | UnsetType = UNSET


class OverrideBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which variant the unit gets."""

    variant: str


class OverrideSet(msgspec.Struct, frozen=True):
    """An override, with the unit as it is compared."""

    flag: str
    unit: str
    variant: str


class ChangeList(msgspec.Struct, frozen=True):
    """Who changed what, the latest first."""

    changes: list[Change]


class Removal(msgspec.Struct, frozen=True):
    """Which generation is meant; without one, whatever stands."""

    generation: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """Whom to evaluate for."""

    unit: str = ""
    attr: list[str] = []
    """`name=value`, as often as needed."""


class SegmentList(msgspec.Struct, frozen=True):
    """All segments."""

    segments: list[Segment]


class LayerUse(msgspec.Struct, frozen=True):
    """A layer with the slots that are taken and those that are free."""

    layer: Layer
    taken: dict[str, tuple[int, int]]
    free: list[tuple[int, int]]


class LayerList(msgspec.Struct, frozen=True):
    """All layers."""

    layers: list[LayerUse]


class FlagsHttp:
    """Parses, asks the Editor, encodes."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    async def list_flags(self, call: Call) -> Answer:
        """All of them, by name."""
        rulebook = self._editor.rulebook
        ruleset = rulebook.ruleset
        flags = [ruleset.flags[name] for name in sorted(ruleset.flags)]
        return said(FlagList(ruleset.version, rulebook.stale, flags))

    async def show(self, call: Call) -> Answer:
        """One, with its overrides."""
        flag = self._editor.flag(call.params["name"])
        return said(FlagShown(flag, self._editor.rulebook.ruleset.overrides.get(flag.name, {})))

    async def put(self, call: Call) -> Answer:
        """Make or replace one; 409 where it is not the generation that stands."""
        same_name(call, call.body.name)
        return said(await self._editor.put_flag(call.body, actor(call)))

    async def patch(self, call: Call) -> Answer:
        """Set some fields."""
        fields = {name: value for name, value in _fields(call.body) if value is not UNSET}
        return said(await self._editor.change_flag(call.params["name"], fields, actor(call)))

    async def delete(self, call: Call) -> Answer:
        """Remove one."""
        await self._editor.delete_flag(call.params["name"], call.query.generation, actor(call))
        return GONE

    async def kill(self, call: Call) -> Answer:
        """Give everybody what the flag gives while it is off, at once."""
        return said(await self._editor.switch(call.params["name"], False, actor(call)))

    async def restore(self, call: Call) -> Answer:
        """Go by the rules again."""
        return said(await self._editor.switch(call.params["name"], True, actor(call)))

    async def override(self, call: Call) -> Answer:
        """Let one unit have a variant."""
        name, variant = call.params["name"], call.body.variant
        unit = await self._editor.override(name, call.params["unit"], variant, actor(call))
        return said(OverrideSet(name, unit, variant))

    async def remove_override(self, call: Call) -> Answer:
        """Let the rules decide again."""
        await self._editor.override(call.params["name"], call.params["unit"], None, actor(call))
        return GONE

    async def history(self, call: Call) -> Answer:
        """Who changed it, when, from what to what."""
        return said(ChangeList(await self._editor.history(call.params["name"])))

    async def evaluate(self, call: Call) -> Answer:
        """What a unit gets, and why. No exposure."""
        asked: Asked = call.query
        return said(self._editor.explain(call.params["name"], asked.unit, attributes_of(asked.attr)))

    async def list_segments(self, call: Call) -> Answer:
        """All of them, by name."""
        segments = self._editor.rulebook.ruleset.segments
        return said(SegmentList([segments[name] for name in sorted(segments)]))

    async def show_segment(self, call: Call) -> Answer:
        """One."""
        return said(self._editor.segment(call.params["name"]))

    async def put_segment(self, call: Call) -> Answer:
        """Make or replace one."""
        same_name(call, call.body.name)
        return said(await self._editor.put_segment(call.body, actor(call)))

    async def delete_segment(self, call: Call) -> Answer:
        """Remove one that no flag asks for."""
        await self._editor.delete_segment(call.params["name"], call.query.generation, actor(call))
        return GONE

    async def list_layers(self, call: Call) -> Answer:
        """All of them, with what is free."""
        layers = self._editor.rulebook.ruleset.layers
        return said(LayerList([self._use(layers[name]) for name in sorted(layers)]))

    async def show_layer(self, call: Call) -> Answer:
        """One, with what is free."""
        return said(self._use(self._editor.layer(call.params["name"])))

    async def put_layer(self, call: Call) -> Answer:
        """Make or replace one."""
        same_name(call, call.body.name)
        return said(await self._editor.put_layer(call.body, actor(call)))

    async def delete_layer(self, call: Call) -> Answer:
        """Remove one that no flag lies in."""
        await self._editor.delete_layer(call.params["name"], call.query.generation, actor(call))
        return GONE

    async def show_holdout(self, call: Call) -> Answer:
        """The units that get no change at all."""
        return said(self._editor.rulebook.ruleset.holdout)

    async def put_holdout(self, call: Call) -> Answer:
        """Set how many units get no change at all."""
        return said(await self._editor.put_holdout(call.body, actor(call)))

    def _use(self, layer: Layer) -> LayerUse:
        flags = self._editor.rulebook.ruleset.flags.values()
        taken = {flag.name: flag.slots for flag in flags if flag.layer == layer.name and flag.slots}
        return LayerUse(layer, taken, gaps(taken.values()))


def routes(http: FlagsHttp) -> Sequence[Route]:
    """All ask for the admin token outside development."""
    flag, override = "/admin/flags/{name}", "/admin/flags/{name}/overrides/{unit}"
    segment, layer = "/admin/segments/{name}", "/admin/layers/{name}"
    return (
        _route("GET", "/admin/flags", http.list_flags, "All flags.", answer=FlagList),
        _route("GET", flag, http.show, "A flag and its overrides.", answer=FlagShown),
        _route("PUT", flag, http.put, "Make or replace a flag.", body=Flag, answer=Flag),
        _route("PATCH", flag, http.patch, "Set fields of a flag.", body=FlagPatch, answer=Flag),
        _route("DELETE", flag, http.delete, "Remove a flag.", query=Removal, status=204),
        _route("POST", f"{flag}/kill", http.kill, "Switch a flag off for everybody, at once.", answer=Flag),
        _route("POST", f"{flag}/restore", http.restore, "Go by a flag's rules again.", answer=Flag),
        _route(
            "PUT", override, http.override, "Give a unit a variant.", body=OverrideBody, answer=OverrideSet
        ),
        _route(
            "DELETE", override, http.remove_override, "Let the rules decide for a unit again.", status=204
        ),
        _route("GET", f"{flag}/history", http.history, "Who changed a flag, and how.", answer=ChangeList),
        _route(
            "GET", f"{flag}/evaluate", http.evaluate, "What a unit gets, and why.", query=Asked, answer=Steps
        ),
        _route("GET", "/admin/segments", http.list_segments, "All segments.", answer=SegmentList),
        _route("GET", segment, http.show_segment, "A segment.", answer=Segment),
        _route("PUT", segment, http.put_segment, "Make or replace a segment.", body=Segment, answer=Segment),
        _route("DELETE", segment, http.delete_segment, "Remove a segment.", query=Removal, status=204),
        _route("GET", "/admin/layers", http.list_layers, "All layers, and what is free.", answer=LayerList),
        _route("GET", layer, http.show_layer, "A layer, and what is free.", answer=LayerUse),
        _route("PUT", layer, http.put_layer, "Make or replace a layer.", body=Layer, answer=Layer),
        _route("DELETE", layer, http.delete_layer, "Remove a layer.", query=Removal, status=204),
        _route("GET", "/admin/holdout", http.show_holdout, "Units that get no change.", answer=Holdout),
        _route("PUT", "/admin/holdout", http.put_holdout, "Set the holdout.", body=Holdout, answer=Holdout),
    )


def _route(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method, path, handler, summary, public=False, **more)


def _fields(patch: FlagPatch) -> list[tuple[str, Any]]:
    return [(name, getattr(patch, name)) for name in patch.__struct_fields__]
