"""What AWS refuses: one sentence and exit code 2, nothing left; what passes by itself is waited for."""

from __future__ import annotations

import os
import time

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from btard.deploy.aws.errors import explained
from btard.deploy.aws.launcher import behaviour_of
from btard.deploy.aws.settings import UpSettings
from btard.errors import UserError
from tests.deploy.aws.account import FAST, NAME, UP, Account
from tests.deploy.standins import eventually
from tests.quick import quick


@pytest.mark.slow
def test_a_call_that_is_throttled_is_made_again(account: Account) -> None:
    account.proxy.refuse = lambda action, number: (
        "RequestLimitExceeded" if action in ("DescribeInstances", "CreateVpc") and number <= 2 else None
    )
    code, said = account.run("up", *UP, "--time-limit", "0.001")
    assert code == 0, said
    assert account.proxy.calls["CreateVpc"] == 3 and account.left() == []


def test_endless_throttling_is_a_sentence(account: Account) -> None:
    account.proxy.refuse = lambda action, number: "RequestLimitExceeded" if action == "DescribeInstances" else None
    code, said = account.run("status", "--api-attempts", "2")
    assert code == 2
    assert said == "btard: cannot list the machines: AWS answers RequestLimitExceeded again and again; try later\n"
    assert account.proxy.calls["DescribeInstances"] == 2


@pytest.mark.parametrize("code", quick(1, ["InsufficientInstanceCapacity", "SpotMaxPriceTooLow"]))
def test_what_aws_lacks_now_is_asked_for_again(account: Account, code: str) -> None:
    account.proxy.refuse = lambda action, number: code if action == "RunInstances" and 3 <= number <= 4 else None
    launcher = account.launch("up", *UP)
    try:
        eventually(lambda: len(account.alive()) == 5, "the fleet", 120)
    finally:
        launcher.terminate()
        said, _ = launcher.communicate(timeout=120)
    assert said.count(f"({code}: because a test wants it); trying again every 0.2 s") == 1, said
    assert account.left() == []


@pytest.mark.parametrize("action", quick(1, ["RunInstances", "CreateSecurityGroup", "CreateVpc"]))
def test_what_is_not_allowed_is_a_sentence_and_nothing_is_left(account: Account, action: str) -> None:
    account.proxy.refuse = lambda asked, number: "UnauthorizedOperation" if asked == action and number != 1 else None
    if action != "RunInstances":
        account.proxy.refuse = lambda asked, number: "UnauthorizedOperation" if asked == action else None
    code, said = account.run("up", *UP)
    assert code == 2
    last = said.splitlines()[-1]
    assert last.startswith("btard: cannot ") and "the credentials lack the permission for it" in last
    assert "Traceback" not in said and account.left() == []


@pytest.mark.slow
def test_a_refusal_while_everything_is_terminated_is_tried_again(account: Account) -> None:
    account.proxy.refuse = lambda action, number: (
        "DependencyViolation" if action == "DeleteSecurityGroup" and number <= 2 else None
    )
    code, said = account.run("up", *UP, "--time-limit", "0.001")
    assert (code, account.left()) == (0, []), said


@pytest.mark.slow
def test_what_stays_is_named(account: Account) -> None:
    account.proxy.refuse = lambda action, number: "DependencyViolation" if action == "DeleteSecurityGroup" else None
    code, said = account.run("up", *UP, "--time-limit", "0.001", "--patience", "5")
    assert code == 2 and "run down again" in said and "DependencyViolation" in said
    account.proxy.refuse = lambda action, number: None
    assert account.run("down", *FAST)[0] == 0 and account.left() == []


@pytest.mark.slow
def test_logs_come_from_one_group(account: Account) -> None:
    code, said = account.run("logs")
    assert code == 2 and "only with an --instance-profile" in said
    client = account.client("logs")
    client.create_log_group(logGroupName=f"/btard/{NAME}")
    now = int(time.time() * 1000)
    for stream, text in (("coordinator-ip-1", "step 7"), ("worker-1-ip-2", "joined"), ("worker-10-ip-3", "late")):
        client.create_log_stream(logGroupName=f"/btard/{NAME}", logStreamName=stream)
        event = {"timestamp": now, "message": text}
        client.put_log_events(logGroupName=f"/btard/{NAME}", logStreamName=stream, logEvents=[event])
    assert sorted(account.run("logs")[1].splitlines()) == [
        "coordinator-ip-1: step 7",
        "worker-1-ip-2: joined",
        "worker-10-ip-3: late",
    ]
    assert account.run("logs", "--machine", "worker-1")[1] == "worker-1-ip-2: joined\n"


def test_words_that_are_wrong(account: Account) -> None:
    assert "leave nobody honest" in account.run("up", *UP, "--attackers", "4")[1]
    assert "--wandb-secret needs an --instance-profile" in account.run("up", *UP, "--wandb-secret", "key")[1]
    assert "--attack-type is 'NONSENSE'" in account.run("up", *UP, "--attack-type", "NONSENSE")[1]
    assert "price table" in account.run("up", *UP, "--coordinator-type", "x99.huge")[1]
    assert "attackers need an --attack-type" in account.run("up", *UP, "--attackers", "1")[1]
    assert "--coordinator-image is btard-coordinator, but machines need a registry" in account.run("up", "--yes")[1]
    assert account.proxy.calls["RunInstances"] == 0


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "It is so."}}, "RunInstances")


@pytest.mark.parametrize(
    ("error", "sentence", "passing"),
    [
        (client_error("VcpuLimitExceeded"), "limit of processors", False),
        (client_error("InsufficientInstanceCapacity"), "no such machine free now", True),
        (client_error("Surprise"), "cannot start it: It is so (Surprise)", False),
        (NoCredentialsError(), "set AWS_PROFILE", False),
        (EndpointConnectionError(endpoint_url="http://x"), "cannot be reached", True),
        (ReadTimeoutError(endpoint_url="http://x"), "cannot be reached", True),
    ],
)
def test_every_complaint_is_one_sentence(error: Exception, sentence: str, passing: bool) -> None:
    told = explained(error, "start it")
    assert sentence in str(told) and told.passing is passing and "\n" not in str(told)


def test_without_credentials(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        account.environment[name] = ""
    account.environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": os.devnull}
    code, said = account.run("status")
    assert code == 2 and "there are no AWS credentials here" in said


@pytest.mark.slow
def test_a_fleet_survives_a_while_without_answers_of_aws(account: Account) -> None:
    launcher = account.launch("up", *UP)
    try:
        eventually(lambda: len(account.alive()) == 5, "the fleet", 120)
        before = {machine.id for machine in account.alive().values()}
        asked = account.proxy.calls["DescribeInstances"]
        account.proxy.refuse = lambda action, number: (
            "InternalError" if action == "DescribeInstances" and number <= asked + 12 else None
        )
        eventually(lambda: account.proxy.calls["DescribeInstances"] > asked + 12, "an answer")
        assert {machine.id for machine in account.alive().values()} == before and launcher.poll() is None
    finally:
        launcher.terminate()
        said, _ = launcher.communicate(timeout=120)
    assert "InternalError: because a test wants it" in said or "(InternalError)" in said, said
    assert account.left() == []


def test_every_setting_of_a_behaviour_reaches_the_attackers() -> None:
    text = behaviour_of(
        UpSettings(
            experiment=NAME, ami="ami-1", attackers=1, attack_type="ROP", rop_angle=45, noise_relative=True, drift=0.5
        )
    )
    assert text == "ATTACK_TYPE=ROP ATTACK_START=3000 NOISE_RELATIVE=True ROP_ANGLE=45.0 DRIFT=0.5"
    with pytest.raises(UserError, match="without blanks"):
        behaviour_of(UpSettings(experiment=NAME, ami="ami-1", attack_type="ALIE", collude_at="/my shared"))
