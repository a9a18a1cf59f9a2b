"""What the agent in Node makes of its clock, which is here one of the test's own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from edgeship_benchmarks import node


def _printed(code: str) -> Any:
    """What a script prints that has the agent's class."""
    if node.executable() is None:
        pytest.skip("needs Node 18 or newer")
    script = f"const {{ Agent }} = await import(process.argv[1]);{code}"
    operations = (node.WEB / "operations.mjs").as_uri()
    command = ["node", "--input-type=module", "--eval", script, operations]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_the_first_inference_is_whole_and_a_latency_is_of_one_sample() -> None:
    """A file with a batch of 4, of which each inference takes 8 ms by a clock that only inferences move."""
    said = _printed(
        "let now = 0; performance.now = () => now;"
        "const agent = new Agent({ clock_ms: 1 });"
        "agent.loaded = { infer: async () => { now += 8; } };"
        "agent.feeds = async () => [[{ shape: [4, 3] }]];"
        "const first = await agent.warm_up({ inputs: {}, max_runs: 2 });"
        "console.log(JSON.stringify([first, await agent.measure({ inputs: {}, min_runs: 2, min_seconds: 0 })]));"
    )
    assert said == [
        {"first_inference_ms": 8, "runs": 2, "stable": False},
        {"latency_ms": [2, 2], "inferences_per_time": 3},  # 24 ms: 20 steps of the clock or more
    ]


def test_throughput_counts_samples() -> None:
    """By a clock that goes on whenever it is looked at: as many inferences of either size in the same time."""
    one, many = _printed(
        "let now = 0; performance.now = () => now++;"
        "const agent = new Agent({});"
        "Object.assign(agent, { batch: (size) => size, open: async () => [], chunk: () => [], infer: async () => {} });"
        "const asked = (batch) => agent.throughput({ inputs: {}, batch, min_seconds: 0.05 });"
        "console.log(JSON.stringify([(await asked(1)).per_second, (await asked(32)).per_second]));"
    )
    assert one == pytest.approx(49 / 0.051)
    assert many == pytest.approx(32 * one)
