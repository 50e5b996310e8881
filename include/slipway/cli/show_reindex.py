"""What `slipway reindex` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.cli import show

_STATUS = {
    "planned": "the plan, nothing embedded",
    "waiting": "waiting for an approval",
    "released": "released",
    "refused": "not released",
    "failed": "not ended",
}
_AGAIN = (
    "Nobody could be asked. Look at it, then run the same command with --approve: what was embedded and built is found "
    "again."
)


def page(made: Mapping[str, Any]) -> str:
    """A campaign's result, as a page."""
    status = _STATUS.get(made.get("status", ""), "")
    lines = [f"{made['collection']}  reindex campaign {made['run_id']}" + (f": {status}" if status else ""), ""]
    lines += [show.line("to", f"encoder {made['encoder']}" + (f", index {made['index']}" if made["index"] else ""))]
    lines += show.planned(made)
    if "sample" in made:
        lines.append(show.line("sample", made["sample"]["says"]))
    lines += show.metrics(made) + show.gates(made) + _decided(made)
    if made.get("status") == "waiting":
        lines += ["", f"  {_AGAIN}"]
    return "\n".join([*lines, "", show.seconds(made)])


def _decided(made: Mapping[str, Any]) -> list[str]:
    lines = [show.line("verdict", made["verdict"])] if "verdict" in made else []
    if made.get("report"):
        lines.append(show.line("report", f"{made['report']}; slipway report {made['collection']} {made['run_id']}"))
    if "approval" in made:
        lines.append(show.line("approved", approval(made["approval"])))
    if made["released"]:
        lines.append(show.line("release", f"{made['release_id']} is live (generation {made['generation']})"))
    return lines


def approval(said: Mapping[str, Any]) -> str:
    """Who approved or rejected, over which gates, and why, in a line."""
    what = "approved" if said["approved"] else "rejected"
    over = f", over the failed gates {', '.join(said['overrode'])}" if said["overrode"] else ""
    why = f": {said['comment']}" if said["comment"] else ""
    return f"{what} by {said['who']} at {said['at']}, the verdict was {said['outcome']}{over}{why}"
