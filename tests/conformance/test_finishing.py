"""A job that ends with a transaction of its own: alike in every engine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roadworthy.errors import LeaseLost
from roadworthy.jobs.engine import Release

from .engines import LEASE, Backend, new_job
from .test_engine import backend, claim, server

__all__ = ["backend", "server"]


async def test_the_job_is_gone_with_the_block(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    async with backend.engine.finishing(job.id, job.lease):
        assert (await backend.engine.heartbeat([(job.id, job.lease)], lease=LEASE)) == set()
    assert await backend.engine.operations.find(job.id) is None
    assert await backend.engine.heartbeat([(job.id, job.lease)], lease=LEASE) == {job.id}


async def test_an_error_in_the_block_leaves_the_job(backend: Backend) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    with pytest.raises(ArithmeticError):
        async with backend.engine.finishing(job.id, job.lease):
            raise ArithmeticError
    assert await backend.engine.heartbeat([(job.id, job.lease)], lease=LEASE) == set()


@pytest.mark.parametrize("how", ["returned", "rescued", "claimed again"])
async def test_a_lost_lease_is_refused(backend: Backend, how: str) -> None:
    await backend.engine.enqueue([new_job(1)])
    (job,) = await claim(backend)
    if how == "returned":
        await backend.engine.complete([Release(job.id, job.lease)])
    else:
        await backend.advance(LEASE + timedelta(seconds=1))
        await backend.engine.rescue()
    if how == "claimed again":
        assert len(await claim(backend, worker="w2")) == 1
    with pytest.raises(LeaseLost, match=f"job {job.id} is no longer held under lease {job.lease}"):
        async with backend.engine.finishing(job.id, job.lease):
            pass
    record = await backend.engine.operations.find(job.id)
    assert record is not None
