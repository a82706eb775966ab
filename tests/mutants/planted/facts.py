"""Local facts that are told before anything is waited for."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_WHOLE = "tests/test_local_facts.py"
_UNIT = "tests/swarm/test_local_facts.py"

FACTS = (
    Mutant(
        "a coordinator imports torch before it looks at its settings",
        "coordinator/local_facts.py",
        "from btard.errors import UserError\n",
        "import torch  # noqa: F401\n\nfrom btard.errors import UserError\n",
        f"{_WHOLE}::test_a_coordinator_looks_before_it_begins",
    ),
    Mutant(
        "a task imports torch when it is named",
        "tasks/base.py",
        "from btard.errors import UserError\n",
        "import torch  # noqa: F401\n\nfrom btard.errors import UserError\n",
        f"{_WHOLE}::test_other_commands_look_before_they_begin",
    ),
    Mutant(
        "a peer looks at its settings after it has made its directory",
        "peer/daemon.py",
        "    check_local_facts(settings)\n    endpoint = None\n",
        "    _prepare_directory(settings)\n    check_local_facts(settings)\n    endpoint = None\n",
        f"{_WHOLE}::test_a_peer_looks_before_it_begins",
    ),
    Mutant(
        "a swarm starts with a warm-up that is longer than its run",
        "deploy/local/settings.py",
        "        check_warmup(self.warmup_steps, self.steps)\n",
        "",
        "tests/deploy/test_swarm.py::test_nonsense_is_refused_in_a_sentence",
    ),
    Mutant(
        "a swarm leaves the settings of its task to the coordinator",
        "deploy/local/plan.py",
        "    task = check_task(settings.task, settings.size)\n",
        "    task = chosen_task(settings.task)\n",
        "tests/deploy/test_swarm.py::test_nonsense_is_refused_in_a_sentence",
    ),
    Mutant(
        "a swarm leaves the parameters of its rule to the coordinator",
        "deploy/local/plan.py",
        "    check_rule(settings.rule, settings.tau, settings.peers, settings.auditors)\n",
        "",
        "tests/deploy/test_swarm.py::test_nonsense_is_refused_in_a_sentence",
    ),
    Mutant(
        "a checkpoint may be of another size",
        "tasks/checkpoint_record.py",
        '            ("size", self.size, size),\n',
        "",
        "tests/tasks/test_checkpoint_record.py::test_it_must_be_of_the_same_run",
    ),
    Mutant(
        "a run may begin at its end",
        "tasks/checkpoint_record.py",
        "self.step >= total_steps",
        "self.step > total_steps",
        "tests/tasks/test_checkpoint_record.py::test_it_must_not_be_beyond_the_end",
    ),
    Mutant(
        "a port may be named twice",
        "swarm/local_facts.py",
        "        if port and port in flags:\n",
        "        if False:\n",
        f"{_UNIT}::test_a_port_is_named_once",
    ),
    Mutant(
        "a killed peer cannot be started again on its port",
        "swarm/local_facts.py",
        "    if lock is not None and lock.exists() and lock.stat().st_size:\n        return\n",
        "",
        f"{_UNIT}::test_what_a_killed_predecessor_left_may_hold_the_port",
    ),
    Mutant(
        "a port is kept by looking at it",
        "swarm/local_facts.py",
        "bind(Address(host, port), flag)[0].close()",
        "bind(Address(host, port), flag)[0].detach()",
        f"{_UNIT}::test_a_free_port_stays_free",
    ),
    Mutant(
        "CUDA is refused where torch is built for it and there is a driver",
        "swarm/local_facts.py",
        'return sys.platform != "linux" or "hip" in built or _has_driver()',
        "return False",
        f"{_UNIT}::test_only_what_is_certain_of_cuda_is_refused",
    ),
    Mutant(
        "a place that cannot be written is taken for one that can",
        "swarm/local_facts.py",
        "there.is_dir() and os.access(there, os.W_OK | os.X_OK)",
        "there.is_dir()",
        f"{_UNIT}::test_a_folder_that_could_be_made_is_not_made",
    ),
    Mutant(
        "an address of a peer is looked at when it is dialled",
        "btard/configuration/shared/network.py",
        "    if not _FULL.match(text) and not (match and",
        "    if False and not (match and",
        f"{_WHOLE}::test_a_peer_looks_before_it_begins",
    ),
)
