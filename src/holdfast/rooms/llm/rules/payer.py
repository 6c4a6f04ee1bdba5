"""Who pays for a call, and the limits that the payer's own key brings along."""

import msgspec

from holdfast.rooms.llm.rules.limits import Limit


class Payer(msgspec.Struct, frozen=True):
    """On whose account a call goes. Empty: nobody in particular, which is an account like any other."""

    tenant: str = ""
    user: str = ""
    key: str = ""
    """The id of a virtual key, never the key itself; empty without one."""
    model: str = ""
    """The public name of the model."""
    own: tuple[Limit, ...] = ()
    """Limits of the virtual key, as `VirtualKeys` gives them."""
