"""The jobs of a run, a workflow: one cuts it into chunks, one does each of them, and one ends it after all."""

from __future__ import annotations

from roadworthy import Limit, minutes
from vitals.confidence.calculate import calculate
from vitals.ingestion import apply as applying
from vitals.ingestion.apply import EVERY
from vitals.ingestion.jobs import follow_up, normalise_event
from vitals.runs.runs import QUERIES, Kind
from vitals.service import database, service, upkeep

CHUNK = 200
_CUT = {"recalculate": "cut_recalculate", "backfill": "cut_backfill"}


async def begin(kind: Kind) -> int | None:
    """Begin a run over everything and return its id, None while another one of its kind is on.

    `recalculate` calculates the confidences of all users; `backfill` reads all kept events again, for when we have
    learnt to read more of them.
    """
    async with database.transaction():
        run: int | None = await database.fetchval(QUERIES["begin_run"], kind)
        if run is not None:
            await plan_run.enqueue(run=run)
    return run


@upkeep.job(timeout=minutes(10))
async def plan_run(run: int) -> None:
    """Cut a run into chunks, and enqueue each; a second time nothing is added."""
    async with database.transaction():
        row = await database.fetchrow(QUERIES["lock_run"], run)
        if row is None or row["state"] != "running" or row["total"]:
            return
        chunks = await database.fetch(QUERIES[_CUT[row["kind"]]], run, CHUNK)
        await database.execute(QUERIES["set_total"], run, sum(chunk["items"] for chunk in chunks))
        async with service.workflow(row["kind"]) as workflow:
            arguments = [{"run": run, "kind": row["kind"], "first": chunk["first_id"]} for chunk in chunks]
            workflow.after(workflow.add_many(run_chunk, arguments)).add(finish_run, run=run)


@upkeep.job(timeout=minutes(5), priority=10, limits=[Limit(at_once=4)])
async def run_chunk(run: int, kind: Kind, first: int) -> None:
    """Do one chunk and note that it is done, both or neither; done already, or cancelled, it is left."""
    async with database.transaction():
        last = await database.fetchval(QUERIES["take_chunk"], run, first)
        if last is not None:
            await _DO[kind](first, last)
            await database.execute(QUERIES["finish_chunk"], run, first)


@upkeep.job(timeout=minutes(1))
async def finish_run(run: int) -> None:
    """Note that all chunks are done; a dead one keeps the run open until it is retried, or the run cancelled."""
    await database.execute(QUERIES["finish_run"], run)


@upkeep.job(cron="11 4 * * *", timeout=minutes(5))
async def recalculate_all() -> None:
    """Calculate all confidences once a day, for they fall when nothing comes."""
    await begin("recalculate")


@upkeep.job(cron="41 4 * * *", timeout=minutes(5))
async def forget_old_runs() -> None:
    """Forget how runs of more than a month ago went."""
    await database.execute(QUERIES["forget_runs"])


async def _recalculate(first: int, last: int) -> None:
    rows = await database.fetch(QUERIES["users_between"], first, last)
    await calculate(database, [row["id"] for row in rows])


async def _backfill(first: int, last: int) -> None:
    rows = await database.fetch(QUERIES["events_between"], first, last)
    applied = await applying.apply(database, [row["id"] for row in rows], EVERY)
    await follow_up(applied)
    # One that failed before goes to the dead letters again only if it still fails.
    await normalise_event.enqueue_many({"event": event} for event in applied.refused)


_DO = {"recalculate": _recalculate, "backfill": _backfill}
