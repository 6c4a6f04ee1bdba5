"""The commands of flags: flag list, show, set, kill, restore, delete, override, explain."""

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput
from holdfast.kernel.room import Verb
from holdfast.rooms.experiments.engine.commands import actor
from holdfast.rooms.experiments.engine.flags.editing import Editor, attributes_of
from holdfast.rooms.experiments.rules.flags import BUCKETS, Flag, Lane, Rule, Split

ON, OFF = "treatment", "control"


class FlagVerbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def all(self) -> Sequence[Verb]:
        """Every command of flags."""
        return (
            Verb("flag list", "flags: on or off, kind, what they serve", self.list_all),
            Verb("flag show", "a flag and its overrides, as JSON", self.show, _name),
            Verb("flag set", "make or change a flag: a share of units, or a definition", self.set, _set),
            Verb("flag kill", "switch a flag off for everybody, at once", self.kill, _name),
            Verb("flag restore", "go by a flag's rules again", self.restore, _name),
            Verb("flag delete", "remove a flag with its overrides; its history stays", self.delete, _name),
            Verb("flag override", "give one unit a variant, or none of its own", self.override, _override),
            Verb("flag explain", "what a unit gets, and why", self.explain, _explain),
        )

    async def list_all(self, options: argparse.Namespace) -> int:
        """One line a flag."""
        flags = self._editor.rulebook.ruleset.flags
        for name in sorted(flags):
            print(_line(flags[name]))
        if not flags:
            print("there is no flag yet: holdfast flag set NAME --percent 5")
        return 0

    async def show(self, options: argparse.Namespace) -> int:
        """The definition, good for `flag set --file`."""
        flag = self._editor.flag(options.name)
        print(msgspec.json.format(encode_json(flag)).decode())
        for unit, variant in sorted(self._editor.rulebook.ruleset.overrides.get(flag.name, {}).items()):
            print(f"override {unit}: {variant}", file=sys.stderr)
        return 0

    async def set(self, options: argparse.Namespace) -> int:
        """From a file, or a share of units that get the treatment."""
        if (options.file is None) == (options.percent is None):
            raise BadInput("what is the flag to be?", hint="give --percent 25, or --file flag.json")
        known = self._editor.rulebook.ruleset.flags.get(options.name)
        if options.file is not None:
            flag = await self._editor.put_flag(_read(options.file, options.name), actor())
        elif known is None:
            flag = await self._editor.put_flag(_switch(options.name, _share(options.percent)), actor())
        else:
            rules = _rolled(known, _share(options.percent))
            fields = {"rules": rules, "generation": known.generation}
            flag = await self._editor.change_flag(options.name, fields, actor())
        print(_line(flag))
        return 0

    async def kill(self, options: argparse.Namespace) -> int:
        """Off."""
        flag = await self._editor.switch(options.name, False, actor())
        print(f"{flag.name} is off: everybody gets {flag.off}")
        return 0

    async def restore(self, options: argparse.Namespace) -> int:
        """On again."""
        print(_line(await self._editor.switch(options.name, True, actor())))
        return 0

    async def delete(self, options: argparse.Namespace) -> int:
        """Gone: code that still asks for it gets what it does by itself."""
        await self._editor.delete_flag(options.name, None, actor())
        print(f"{options.name} is gone")
        return 0

    async def override(self, options: argparse.Namespace) -> int:
        """One unit."""
        if (options.variant is None) != options.remove:
            raise BadInput("which variant?", hint="give a variant, or --remove")
        unit = await self._editor.override(options.name, options.unit, options.variant, actor())
        print(f"{unit} gets {options.variant or 'what the rules give'} of {options.name}")
        return 0

    async def explain(self, options: argparse.Namespace) -> int:
        """The steps that led to a variant."""
        steps = self._editor.explain(options.name, options.unit, attributes_of(options.attr))
        found = steps.evaluation
        print(f"{found.unit or 'nobody'} gets {found.variant}: {steps.because} ({found.reason})")
        if steps.bucket is not None:
            lane = f", in the lane of {steps.lane}" if steps.lane else ""
            print(f"bucket {steps.bucket:,} of {BUCKETS:,}{lane}; phase {found.phase}")
        print("counted" if found.counted else "not counted")
        return 0


def _line(flag: Flag) -> str:
    served = "; ".join(_served(rule) for rule in flag.rules) or flag.off
    return f"{flag.name}  {'on' if flag.enabled else 'OFF'}  {flag.kind}  {served}"


def _served(rule: Rule) -> str:
    whom = "some: " if rule.when or rule.segments or rule.from_ms or rule.until_ms else ""
    if rule.split is None:
        return whom + rule.variant
    split = rule.split
    lanes = [f"{lane.variant} {lane.share * split.rollout / BUCKETS**2 * 100:g}%" for lane in split.lanes]
    return whom + ", ".join(lanes) + f", else {split.rest}"


def _switch(name: str, share: int) -> Flag:
    rule = Rule(split=Split((Lane(ON, BUCKETS),), share, OFF))
    return Flag(name, {OFF: False, ON: True}, rules=(rule,), off=OFF)


def _rolled(flag: Flag, share: int) -> tuple[Rule, ...]:
    """Its rules with the one split opened so far."""
    splits = [rule for rule in flag.rules if rule.split is not None]
    if len(splits) != 1:
        raise BadInput(f"{flag.name!r} has {len(splits)} splits", hint="change its definition: --file")
    return tuple(
        rule
        if rule.split is None
        else msgspec.structs.replace(rule, split=msgspec.structs.replace(rule.split, rollout=share))
        for rule in flag.rules
    )


def _share(percent: str) -> int:
    try:
        share = Decimal(percent.removesuffix("%")) * (BUCKETS // 100)
        whole = int(share)
    except (InvalidOperation, ValueError, OverflowError):
        raise BadInput(f"{percent!r} is no share", hint="write 5 or 12.5, in per cent") from None
    if whole != share or not 0 <= whole <= BUCKETS:
        raise BadInput(f"{percent} % is no share", hint="0 to 100, with two decimals at most")
    return whole


def _read(path: str, name: str) -> Flag:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        flag = msgspec.json.decode(raw, type=Flag)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BadInput(f"{path} is no flag: {error}", hint="`holdfast flag show NAME` prints one") from None
    if flag.name != name:
        raise BadInput(f"{path} is of {flag.name!r}, not of {name!r}", hint="name the same one twice")
    return flag


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _set(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--percent", metavar="SHARE", help="of units that get the treatment: 5, 12.5, 100")
    parser.add_argument("--file", metavar="FILE", help="a definition in JSON; - is standard input")


def _override(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("unit", metavar="UNIT", help="whom: the id of a user, tenant or device")
    parser.add_argument("variant", metavar="VARIANT", nargs="?", help="what it gets")
    parser.add_argument("--remove", action="store_true", help="let the rules decide again")


def _explain(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("unit", metavar="UNIT", help="whom: the id of a user, tenant or device")
    parser.add_argument("--attr", action="append", default=[], metavar="NAME=VALUE", help="e.g. tier=pro")
