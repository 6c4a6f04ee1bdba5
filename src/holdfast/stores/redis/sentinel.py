"""Sentinel: who the master is, by the voice of most sentinels that answer."""

import asyncio
from collections import Counter

from holdfast.ports.shared import SharedDown, SharedRefused
from holdfast.stores.redis.address import Address
from holdfast.stores.redis.dial import Dial, Quiet, ask_all
from holdfast.stores.redis.replies import Rejected


class Sentinels:
    """Asked at every connection; a server is believed only after its own ROLE has confirmed it."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    async def master(self) -> Address:
        """The master's address; raises OSError where too few answer or none knows the name."""
        target = self._dial.target
        asked = [asyncio.create_task(self._ask(address)) for address in target.addresses]
        votes: Counter[Address] = Counter()
        said: list[str] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    votes[await answer] += 1
                except (OSError, SharedDown, Rejected) as error:
                    said.append(str(error))
                if votes and max(votes.values()) * 2 > len(asked):
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not votes:
            raise OSError(f"no sentinel names a master: {'; '.join(sorted(set(said)))}")
        return votes.most_common(1)[0][0]

    async def _ask(self, address: Address) -> Address:
        wire = await self._dial.open_sentinel(address, Quiet())
        try:
            name = self._dial.target.master
            async with asyncio.timeout(self._dial.config.connect_timeout_s):
                (reply,) = await ask_all(wire, [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)])
        finally:
            wire.drop("asked and answered")
        if isinstance(reply, SharedRefused):
            raise OSError(f"{address}: {reply}")
        if not reply:
            raise OSError(f"{address} knows no master {name}")
        return Address(reply[0].decode(), int(reply[1]))
