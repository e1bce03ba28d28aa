from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roadworthy import Limit, Rate, Service, per_hour, per_minute, per_second
from roadworthy.errors import DeclarationError
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.limits import rules_of


def declared(**options: Any) -> Service:
    service = Service("shop")
    queue = service.queue("mail", limits=options.pop("of_queue", ()))

    @queue.job(**options)
    async def send(user: str, site: str = "a") -> None: ...

    return service


def test_a_rate_spaces_jobs_evenly_and_never_too_close() -> None:
    assert per_minute(600).spacing == timedelta(milliseconds=100)
    assert per_second(3).spacing == timedelta(microseconds=333_334)
    assert per_second(3).spacing * 3 >= timedelta(seconds=1)
    assert per_hour(1) == Rate(1, timedelta(hours=1))


@pytest.mark.parametrize(
    ("rate", "burst"), [(per_minute(5), 1), (per_minute(120), 2), (per_second(1000), 100), (per_second(20, burst=7), 7)]
)
def test_a_burst_is_a_tenth_of_a_second_unless_told(rate: Rate, burst: int) -> None:
    assert rate.at_once == burst


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limit(), "either at_once= or rate="),
        (lambda: Limit(at_once=1, rate=per_second(1)), "either at_once= or rate="),
        (lambda: Limit(at_once=0), "pause the queue"),
        (lambda: Limit(at_once=1, per="user"), "name an argument"),
        (lambda: Limit(at_once=1, per="{user}\n"), "printable"),
        (lambda: Limit(at_once=1, per="{user}" + "x" * 200), "at most 200"),
        (lambda: per_second(0), "at least 1"),
        (lambda: per_second(200_000), "100,000 in a second"),
        (lambda: Rate(1, timedelta(0)), "positive"),
        (lambda: Rate(1, timedelta(days=400)), "at most a year"),
        (lambda: per_second(5, burst=6), "from 1 to its count, 5"),
        (lambda: per_second(5, burst=0), "from 1 to its count, 5"),
        (lambda: declared(limits=[Limit(at_once=1), Limit(at_once=2)]), "job 'send' has two limits on at_once;"),
        (
            lambda: declared(of_queue=[Limit(rate=per_minute(1)), Limit(rate=per_minute(2))]),
            "queue 'mail' has two limits on rate/60s;",
        ),
        (
            lambda: declared(limits=[Limit(at_once=1, per="{usr}")]),
            "job 'send' has per='{usr}', but no parameter 'usr'",
        ),
        (lambda: declared(of_queue=[Limit(at_once=1, per="{usr}")]), "job 'send' has per='{usr}', but no parameter"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(make: Any, message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        make()
    assert message in str(refused.value)


def test_rules_come_by_key_first_and_of_the_whole_queue_last() -> None:
    service = declared(
        of_queue=[Limit(at_once=20), Limit(at_once=2, per="{site}")],
        limits=[Limit(rate=per_minute(60)), Limit(rate=per_second(5)), Limit(at_once=1, per="{user}")],
    )
    queue, jobs = service.spec.queues[0], service.spec.jobs
    rules = rules_of(queue, jobs)
    assert [rule.family for rule in rules] == [
        "job:send:at_once:{user}",
        "queue:mail:at_once:{site}",
        "job:send:rate/60s",
        "job:send:rate/1s",
        "queue:mail:at_once",
    ]
    assert [rule.whole_queue for rule in rules] == [False, False, False, False, True]
    assert rules[2].spacing == timedelta(seconds=1)
    other = Service("other").queue("web").spec
    assert rules_of(other, jobs) == ()


def test_a_job_knows_what_its_limits_and_its_queues_count_it_under() -> None:
    service = declared(of_queue=[Limit(at_once=1, per="{site}")], limits=[Limit(at_once=1, per="{user}/{site}")])
    (spec,) = service.spec.jobs
    job = new_job(spec, spec.arguments.bind("ann", site="b"))
    assert job.options.limit_keys == {"{site}": '["b"]', "{user}/{site}": '["ann","b"]'}
    ((plain,), (slash,)) = ([new_job(spec, spec.arguments.bind(*args))] for args in [("a/b", "c"), ("a", "b/c")])
    assert plain.options.limit_keys != slash.options.limit_keys
