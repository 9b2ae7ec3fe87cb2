"""Our broker beside Debian's x2gobroker 0.0.4.3: the same files, the same requests, the same meaning of the answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from tests.compat.corners import corners
from tests.compat.deviations import BY_ID, DEVIATIONS, deviations_markdown, expected
from tests.compat.exchange import Talker
from tests.compat.faults import ask, faults, files
from tests.compat.faults_web import web_scenarios
from tests.compat.generator import scenarios
from tests.compat.meaning import Meaning, differences, meaning
from tests.compat.runner import Exchange, Table
from tests.compat.scenario import Scenario
from tests.support.debian_broker import DebianBroker
from tests.support.our_broker import OurBroker

pytestmark = pytest.mark.reference
GENERATED = 150
SCENARIOS = [*scenarios(GENERATED), *corners(), *faults(), *web_scenarios()]


@dataclass
class Played:
    """What came of all scenarios: the exchanges, and by scenario what should not be."""

    exchanges: list[Exchange] = field(default_factory=list)
    wrong: dict[int, list[str]] = field(default_factory=dict)
    applied: dict[int, set[str]] = field(default_factory=dict)


def _play(debug: bool, played: Played) -> None:
    with DebianBroker(debug=debug) as reference, DebianBroker(debug=debug) as second, OurBroker(debug=debug) as ours:
        table = Table(reference, second, ours)
        for number, scenario in enumerate(SCENARIOS):
            if scenario.debug != debug:
                continue
            for exchange in table.play(scenario):
                lines = differences(expected(exchange), exchange.ours)
                if lines:
                    said = f"deviations: {', '.join(exchange.applied) or 'none'}"
                    played.wrong.setdefault(number, []).append("\n    ".join([str(exchange), said, *lines]))
                played.applied.setdefault(number, set()).update(exchange.applied)
                played.exchanges.append(exchange)


@pytest.fixture(scope="module")
def played() -> Played:
    """All scenarios, played once."""
    result = Played()
    _play(False, result)
    _play(True, result)
    return result


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=[scenario.label for scenario in SCENARIOS])
def test_answers_mean_the_same(played: Played, number: int) -> None:
    """Every answer of ours means what the reference's means, or what a listed deviation says."""
    if number in played.wrong:
        pytest.fail("\n".join(played.wrong[number]), pytrace=False)


@pytest.mark.parametrize(
    "number", [number for number, scenario in enumerate(SCENARIOS) if scenario.fault],
    ids=[scenario.label for scenario in SCENARIOS if scenario.fault],
)  # fmt: skip
def test_the_reference_has_the_fault(played: Played, number: int) -> None:
    """A scenario about a fault of the reference really meets it; else it would show nothing."""
    assert SCENARIOS[number].fault in played.applied[number]


def test_every_deviation_is_met(played: Played) -> None:
    """No deviation is listed that nothing shows, and none is met that is not listed."""
    met = set().union(*played.applied.values())
    assert met == {deviation.id for deviation in DEVIATIONS}


def test_the_comparison_has_something_to_compare(played: Played) -> None:
    """Enough different configurations, and enough answers of every kind among the generated ones."""
    generated = [exchange for exchange in played.exchanges if exchange.scenario.label.startswith("generated")]
    assert len({exchange.scenario.files for exchange in generated}) >= 100
    assert len(generated) >= 1000
    for frontend in ("plain", "json"):
        answers = [exchange.reference for exchange in generated if exchange.request.frontend == frontend]
        assert sum(1 for answer in answers if answer.profiles) >= 50
        assert sum(1 for answer in answers if answer.granted and answer.profiles is None) >= 50
        assert sum(1 for answer in answers if answer.server) >= 50
        assert {200, 401, 404, 405} <= {answer.status for answer in answers}
    assert sum(1 for exchange in generated if exchange.request.sid and "denied-profile" in exchange.applied) >= 5


def test_generated_scenarios_are_always_the_same() -> None:
    """The generator rolls the same dice on every run."""

    def said(found: Scenario) -> tuple[object, ...]:
        return found.files, tuple(str(step.request) for step in found.steps)

    assert [said(one) for one in scenarios(10)] == [said(one) for one in SCENARIOS[:10]]


def test_every_server_is_chosen() -> None:
    """Without a port scan, both brokers choose among all servers of a profile."""
    text = files({"host": "a (10.0.2.1), b (10.0.2.2:2022), c"})
    request = ask("plain", "selectsession", sid="one")
    with DebianBroker() as reference, OurBroker() as ours:
        for broker in (reference, ours):
            broker.write_config(text.conf)
            broker.write_profiles(text.profiles)
            talker = Talker(broker.port)
            chosen = {meaning(request, talker.send(request), "").server for _ in range(50)}
            assert chosen == {("10.0.2.1", "22"), ("10.0.2.2", "2022"), ("c", "22")}


@pytest.mark.parametrize(
    "other",
    [
        Meaning(401), Meaning(200), Meaning(200, True, "same"),
        Meaning(200, True, "new", profiles=(("p", (("b", "2"), ("a", "1"))),)),
        Meaning(200, True, "new", profiles=(("p", (("a", "1"), ("b", "3"))),)),
        Meaning(200, True, "new", profiles=()),
    ],
)  # fmt: skip
def test_differences_are_noticed(other: Meaning) -> None:
    """Status, grant, authid, profiles, values and the order of keys all count."""
    mine = Meaning(200, True, "new", profiles=(("p", (("a", "1"), ("b", "2"))),))
    assert not differences(mine, replace(mine))
    assert differences(mine, other)


def test_deviations_are_documented() -> None:
    """The page names every deviation, and every fault scenario names one."""
    page = deviations_markdown()
    for deviation in DEVIATIONS:
        assert f"({deviation.id})=\n## {deviation.title}" in page
    assert {scenario.fault for scenario in SCENARIOS if scenario.fault} <= set(BY_ID)
