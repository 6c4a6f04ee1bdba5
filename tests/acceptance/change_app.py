"""A shop whose new price engine is broken: what `holdfast serve` runs for the tests of safe change."""

from fastapi import FastAPI, Request

import holdfast
from holdfast import Holdfast, experiments

app = FastAPI()
hold = Holdfast(app)
# Salts are drawn, and who gets which arm follows from them: here the same in each run.
rules = hold.ground.rooms["experiments"].changes.rules  # type: ignore[attr-defined] # that room's
rules._draw = lambda: "shop"


@app.get("/price")
async def price() -> dict[str, str]:
    """By the engine that this user is served by; the new one fails always."""
    engine = hold.experiments.variant("price-engine")
    if engine == "treatment":
        raise RuntimeError("the new price engine cannot divide by zero")
    return {"engine": engine}


@app.get("/offer")
async def offer() -> dict[str, str]:
    """What an A/B test changes."""
    return {"button": str(experiments.value("buy-button", "회색"))}


@app.post("/buy")
async def buy(request: Request) -> dict[str, bool]:
    """Somebody buys for so much."""
    experiments.track("bought", value=float((await request.json())["value"]))
    holdfast.note(shop="open")
    return {"bought": True}
