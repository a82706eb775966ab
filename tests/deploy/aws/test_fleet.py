"""Whole fleets against moto: started, looked at, attacked, interrupted, ended, by the commands that people type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.deploy.aws.account import BUCKET, FAST, NAME, TAGS, UP, Account
from tests.deploy.standins import eventually
from tests.quick import quick

EVERYBODY = {"coordinator", "worker-0", "worker-1", "worker-2", "worker-3"}


@contextmanager
def running(account: Account, *words: str, until: set[str] = EVERYBODY) -> Iterator[subprocess.Popen[str]]:
    """A launcher with its fleet complete; ended if the test has not."""
    launcher = account.launch("up", *UP, *words)
    try:
        eventually(lambda: set(account.alive()) == until or launcher.poll() is not None, "the fleet", 120)
        assert launcher.poll() is None, "the launcher has ended"
        yield launcher
    finally:
        if launcher.poll() is None:
            launcher.kill()
            launcher.communicate()


def end(launcher: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    launcher.send_signal(number)
    said, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 130, said
    return said


def test_up_status_and_ctrl_c(account: Account) -> None:
    attackers = ["--attackers", "2", "--attack-type", "SIGN_FLIPPING", "--attack-start", "1000", "--check-proba", "0.1"]
    names = {"coordinator", "worker-0", "worker-1", "attacker-2", "attacker-3"}
    with running(account, *attackers, until=names) as launcher:
        fleet = account.alive()
        assert fleet["coordinator"].kind == "r5.large" and fleet["worker-0"].kind == "g4dn.2xlarge"
        assert "SIGN_FLIPPING" not in account.user_data(fleet["worker-0"])
        told = account.user_data(fleet["attacker-3"])
        assert "-e ATTACK_TYPE=SIGN_FLIPPING -e ATTACK_START=1000 -e CHECK_PROBA=0.1" in told
        assert f"--initial-peers {fleet['coordinator'].private_ip}:31337" in told

        code, said = account.run("status")
        assert code == 0 and all(name in said for name in names) and "USD so far" in said
        facts = json.loads(account.run("status", "--json")[1])
        assert facts["wanted"]["attackers"] == 2 and facts["cost"] >= 0
        said = end(launcher)
    assert "at most" in said and "interrupted" in said and f"nothing of {NAME} is left" in said
    assert account.left() == []
    assert account.run("status")[0] == 1


@pytest.mark.parametrize("number", quick(1, [signal.SIGTERM, signal.SIGHUP]))
def test_any_polite_signal_terminates_everything(account: Account, number: signal.Signals) -> None:
    with running(account) as launcher:
        end(launcher, number)
    assert account.left() == []


def test_what_is_made_is_no_more_open_than_needed(account: Account) -> None:
    with running(account) as launcher:
        ec2 = account.client("ec2")
        (group,) = ec2.describe_security_groups(Filters=TAGS)["SecurityGroups"]
        (rule,) = group["IpPermissions"]
        assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (31337, 31337, "tcp")
        assert rule["IpRanges"] == [] and rule["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
        pages = ec2.describe_instances(Filters=TAGS)["Reservations"]
        instances = [instance for page in pages for instance in page["Instances"]]
        for instance in instances:
            assert instance["MetadataOptions"]["HttpTokens"] == "required"
            tags = {tag["Key"] for tag in instance["Tags"]}
            assert {"btard:experiment", "btard:role", "btard:slot"} <= tags
            behaviour = ec2.describe_instance_attribute(
                InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
            )
            assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
        lives = [instance.get("InstanceLifecycle") for instance in instances]
        assert lives.count("spot") == 4
        for machine in account.alive().values():
            first, second = [line for line in account.user_data(machine).splitlines() if not line.startswith("#")][:2]
            assert first.startswith("shutdown -h +24") and second == "set -u"
        end(launcher)


@pytest.mark.slow
def test_a_key_is_made_for_ssh_only_and_given_ones_stay(account: Account, tmp_path: object) -> None:
    ec2 = account.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="mine", Description="mine", VpcId=subnet["VpcId"])["GroupId"]
    ec2.create_key_pair(KeyName="mine")
    given = ["--subnet", subnet["SubnetId"], "--security-group", group, "--key-name", "mine"]
    with running(account, *given) as launcher:
        assert ec2.describe_vpcs(Filters=TAGS)["Vpcs"] == []
        end(launcher)
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert ec2.describe_key_pairs(KeyNames=["mine"])["KeyPairs"]


def test_a_machine_that_is_lost_is_replaced(account: Account) -> None:
    with running(account) as launcher:
        lost = account.alive()["worker-1"]
        account.client("ec2").terminate_instances(InstanceIds=[lost.id])
        eventually(
            lambda: "worker-1" in account.alive() and account.alive()["worker-1"].id != lost.id, "the replacement"
        )
        assert set(account.alive()) == EVERYBODY
        said = end(launcher)
    assert f"worker-1 ({lost.id}) was lost: Client.UserInitiatedShutdown" in said


@pytest.mark.slow
def test_without_a_bucket_a_run_is_lost_with_its_coordinator(account: Account) -> None:
    with running(account) as launcher:
        account.client("ec2").terminate_instances(InstanceIds=[account.alive()["coordinator"].id])
        said, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 2 and "without a --bucket" in said.splitlines()[-1]
    assert account.left() == []


@pytest.mark.slow
def test_with_a_bucket_a_new_coordinator_goes_on(account: Account) -> None:
    account.make_bucket()
    with running(account, *BUCKET) as launcher:
        lost = account.alive()["coordinator"]
        account.client("ec2").terminate_instances(InstanceIds=[lost.id])
        eventually(lambda: set(account.alive()) == EVERYBODY, "the new coordinator")
        fresh = account.alive()["coordinator"]
        assert fresh.id != lost.id
        assert f"aws s3 sync --only-show-errors s3://results/{NAME}/generation-0/coordinator" in account.user_data(
            fresh
        )
        end(launcher)


def test_a_launcher_that_is_killed_leaves_what_down_finds(account: Account) -> None:
    launcher: subprocess.Popen[str] | None = None

    def kill(action: str, number: int) -> None:
        if action == "RunInstances" and number == 3:
            assert launcher is not None
            os.kill(launcher.pid, signal.SIGKILL)

    account.proxy.after = kill
    launcher = account.launch("up", *UP)
    launcher.communicate(timeout=120)
    assert launcher.returncode == -signal.SIGKILL
    assert len(account.alive()) == 3 and len(account.left()) > 6
    code, said = account.run("down", *FAST)
    assert (code, account.left()) == (0, []), said
    assert "3 machines terminated" in said
    assert account.run("down", *FAST)[0] == 0, "nothing to do is no error"


@pytest.mark.slow
def test_a_second_launcher_takes_the_fleet_over(account: Account) -> None:
    with running(account) as first:
        before = {machine.id for machine in account.alive().values()}
        first.kill()
        first.communicate()
        with running(account) as second:
            account.client("ec2").terminate_instances(InstanceIds=[account.alive()["worker-2"].id])
            eventually(lambda: {m.id for m in account.alive().values()} - before, "the replacement")
            eventually(lambda: set(account.alive()) == EVERYBODY, "the fleet")
            assert len({machine.id for machine in account.alive().values()} & before) == 4
            end(second)
    assert account.left() == []


@pytest.mark.slow
def test_a_name_can_be_used_again_at_once(account: Account) -> None:
    """AWS shows machines for an hour after their end; a coordinator among them is not one that was lost now."""
    with running(account) as launcher:
        end(launcher)
    assert [machine for machine in account.machines() if not machine.alive]
    with running(account) as launcher:
        assert {machine.generation for machine in account.alive().values()} == {1}
        assert "was lost" not in end(launcher)
    assert account.left() == []


def test_attack_turns_peers_and_the_launcher_keeps_it_so(account: Account) -> None:
    with running(account) as launcher:
        honest = account.alive()
        code, said = account.run("attack", "--attackers", "1", "--attack-type", "LABEL_FLIPPING", *FAST)
        assert code == 0, said
        eventually(lambda: "attacker-3" in account.alive() and "worker-3" not in account.alive(), "the attacker")
        fleet = account.alive()
        assert set(fleet) == EVERYBODY - {"worker-3"} | {"attacker-3"}
        assert all(fleet[name].id == honest[name].id for name in ("coordinator", "worker-0", "worker-1", "worker-2"))
        attacker = fleet["attacker-3"]
        account.client("ec2").terminate_instances(InstanceIds=[attacker.id])
        eventually(lambda: account.alive().get("attacker-3", attacker).id != attacker.id, "another attacker")
        end(launcher)


@pytest.mark.slow
def test_attack_from_a_checkpoint_replaces_everybody(account: Account) -> None:
    account.make_bucket()
    with running(account, *BUCKET) as launcher:
        before = {machine.id for machine in account.alive().values()}
        words = ["--attackers", "1", "--attack-type", "SIGN_FLIPPING", "--attack-start", "1000", "--checkpoint", "950"]
        code, said = account.run("attack", *words, *FAST)
        assert code == 0, said
        names = EVERYBODY - {"worker-3"} | {"attacker-3"}
        eventually(lambda: set(account.alive()) == names, "the new generation")
        fleet = account.alive()
        assert not before & {machine.id for machine in fleet.values()}
        told = account.user_data(fleet["coordinator"])
        assert f"s3://results/{NAME}/generation-0/coordinator/checkpoints/step-000950" in told
        assert "--initial-state /data/initial-state" in told
        end(launcher)


@pytest.mark.slow
def test_what_attack_refuses(account: Account) -> None:
    assert account.run("attack", "--attackers", "1", "--attack-type", "SIGN_FLIPPING", *FAST) == (
        2,
        f"btard: no coordinator of {NAME} runs in us-east-1; start it by up\n",
    )
    with running(account) as launcher:
        code, said = account.run("attack", "--attackers", "4", "--attack-type", "SIGN_FLIPPING", *FAST)
        assert code == 2 and "leave nobody honest" in said
        words = ["--attackers", "1", "--attack-type", "SIGN_FLIPPING", "--checkpoint", "950"]
        code, said = account.run("attack", *words, *FAST)
        assert code == 2 and "--bucket" in said
        assert set(account.alive()) == EVERYBODY
        end(launcher)


@pytest.mark.slow
def test_spot_requests_are_cancelled(account: Account) -> None:
    ec2 = account.client("ec2")
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "btard:experiment", "Value": NAME}]}]
    launch = {"ImageId": "ami-12c6146b", "InstanceType": "g4dn.2xlarge"}
    ec2.request_spot_instances(SpotPrice="1", InstanceCount=1, LaunchSpecification=launch, TagSpecifications=tags)
    request = ec2.describe_spot_instance_requests()["SpotInstanceRequests"][0]
    if not request.get("Tags"):
        ec2.create_tags(Resources=[request["SpotInstanceRequestId"]], Tags=tags[0]["Tags"])
    assert account.left()
    code, said = account.run("down", *FAST)
    assert (code, account.left()) == (0, []), said


@pytest.mark.slow
def test_the_time_limit_terminates_everything(account: Account) -> None:
    code, said = account.run("up", *UP, "--time-limit", "0.001")
    assert code == 0 and "the time limit is over" in said, said
    assert account.left() == []


def test_nothing_is_started_unless_the_costs_are_confirmed(account: Account) -> None:
    code, said = account.run("up", *(word for word in UP if word != "--yes"))
    assert code == 2 and "USD an hour" in said and "say --yes" in said.splitlines()[-1]
    assert account.proxy.calls["RunInstances"] == account.proxy.calls["CreateVpc"] == 0
