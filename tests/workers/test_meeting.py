"""Workers that find each other on the loopback, or do not, or should not."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ebm_tf.errors import ConfigError, EBMError
from ebm_tf.workers.channel import Channel, Gone
from ebm_tf.workers.cluster import Cluster
from ebm_tf.workers.meeting import gather, join
from tests.waiting import until
from tests.workers.free_ports import free_addresses

SAME = {"seed": 1, "training": {"batch_size": 8, "steps": 10}}
WAIT = 20.0


@pytest.fixture
def addresses():
    return tuple(free_addresses(3))


def meet(tmp_path, clusters, identities, wait=WAIT):
    """What becomes of the chief and of the others: channels, or the errors that they end with."""
    told = []
    with ThreadPoolExecutor() as threads:
        parts = [threads.submit(gather, clusters[0], identities[0], wait, told.append)]
        for cluster, identity in zip(clusters[1:], identities[1:]):
            parts.append(threads.submit(join, cluster, identity, wait, told.append, tmp_path))
        outcomes = [part.exception() or part.result() for part in parts]
    return outcomes, told


def close(chief, *others):
    for channel in (*chief.values(), *others):
        channel.close()


def test_all_that_agree_are_let_go_on(tmp_path, addresses):
    clusters = [Cluster(addresses, index) for index in range(3)]
    (chief, one, two), told = meet(tmp_path, clusters, [SAME] * 3)
    assert sorted(chief) == [1, 2]
    assert f"waits for worker 1 ({addresses[1]}), worker 2 ({addresses[2]}), up to 20 s" in told
    file = tmp_path / "sent" / "weights"
    file.parent.mkdir()
    file.write_bytes(bytes(range(256)) * 9000)
    chief[2].send("state", [file], step=7)
    message = two.read()
    assert (message["kind"], message["step"]) == ("state", 7)
    assert (tmp_path / "weights").read_bytes() == file.read_bytes()
    with socket.create_server(("127.0.0.1", int(addresses[0].split(":")[1]))):
        """TensorFlow can listen there while these connections last."""
    close(chief, one, two)


def test_who_would_train_something_else_is_told_what_differs_and_so_is_everybody(tmp_path, addresses):
    chief, agrees, differs = (Cluster(addresses, index) for index in range(3))
    other = {"seed": 1, "training": {"batch_size": 16, "steps": 10}}
    told = []
    with ThreadPoolExecutor() as threads:
        parts = [threads.submit(gather, chief, SAME, WAIT, told.append)]
        parts.append(threads.submit(join, agrees, SAME, WAIT, lambda line: None, tmp_path))
        until(lambda: any(line.startswith("waits for worker 2") for line in told), "the first to join")
        parts.append(threads.submit(join, differs, other, WAIT, lambda line: None, tmp_path))
        outcomes = [part.exception() for part in parts]
    line = "training.batch_size is 8 on the chief and 16 on worker 2; start all workers with the same program"
    for outcome in outcomes:
        assert line in str(outcome)
        assert outcome.exit_code == 2
    assert str(outcomes[1]).startswith(f"the chief ({addresses[0]}) ended: worker 2")


def test_a_long_list_of_differences_is_cut(tmp_path, addresses):
    clusters = [Cluster(addresses[:2], index) for index in range(2)]
    (error, _), _ = meet(tmp_path, clusters, [dict.fromkeys("abcdef", 1), dict.fromkeys("abcdef", 2)])
    assert "d is 1 on the chief and 2 on worker 1 and 2 more; start" in str(error)


def test_other_addresses_are_another_cluster(tmp_path, addresses):
    clusters = [Cluster(addresses[:2], 0), Cluster((addresses[0], addresses[2]), 1)]
    outcomes, _ = meet(tmp_path, clusters, [SAME] * 2)
    assert f"the cluster of worker 1 is {addresses[0]}, {addresses[2]}, that of the chief" in str(outcomes[1])
    assert all(isinstance(outcome, ConfigError) or outcome.exit_code == 2 for outcome in outcomes)


def test_a_number_that_is_taken_is_refused_and_the_rest_goes_on(tmp_path, addresses):
    clusters = [Cluster(addresses, index) for index in (0, 1, 1)]
    with ThreadPoolExecutor() as threads:
        chief = threads.submit(gather, clusters[0], SAME, WAIT, lambda line: None)
        first, second = (
            threads.submit(join, cluster, SAME, WAIT, lambda line: None, tmp_path) for cluster in clusters[1:]
        )
        until(lambda: first.done() or second.done(), "a refusal")
        refused, other = (first, second) if first.done() else (second, first)
        assert f"worker 1 ({addresses[1]}) is there already" in str(refused.exception())
        last = threads.submit(join, Cluster(addresses, 2), SAME, WAIT, lambda line: None, tmp_path)
        close(chief.result(), other.result(), last.result())


def test_who_has_gone_away_while_others_were_waited_for_may_come_again(tmp_path, addresses):
    told = []
    with ThreadPoolExecutor() as threads:
        chief = threads.submit(gather, Cluster(addresses, 0), SAME, WAIT, told.append)
        host, port = addresses[0].split(":")
        until(lambda: told, "the chief's first word")
        early = Channel(socket.create_connection((host, int(port))))
        early.send("hello", index=1, workers=addresses, identity=SAME)
        until(lambda: told[-1].startswith("waits for worker 2"), "who is there early")
        early.close()
        until(lambda: told[-1].startswith("waits for worker 1"), "the news that it has gone")
        others = [
            threads.submit(join, Cluster(addresses, index), SAME, WAIT, lambda line: None, tmp_path)
            for index in (1, 2)
        ]
        close(chief.result(), *(other.result() for other in others))


def test_who_does_not_come_is_named_on_every_side(tmp_path, addresses):
    clusters = [Cluster(addresses, index) for index in range(2)]
    outcomes, _ = meet(tmp_path, clusters, [SAME] * 2, wait=2.0)
    line = f"worker 2 ({addresses[2]}) did not come within 2 s; start the command join there"
    assert line in str(outcomes[0])
    assert str(outcomes[1]).startswith(f"the chief ({addresses[0]}) ended: worker 2")


def test_a_chief_that_is_not_there_is_said(tmp_path, addresses):
    with pytest.raises(EBMError, match=r"the chief \(.*\) did not answer within 1 s \(Connection refused\)"):
        join(Cluster(addresses, 1), SAME, 1.0, lambda line: None, tmp_path)


def test_a_host_that_nobody_knows_is_said(tmp_path, addresses):
    with pytest.raises(EBMError, match=r"did not answer within 1 s \(Name or service not known\)"):
        join(Cluster(("nobody.invalid:80", addresses[1]), 1), SAME, 1.0, lambda line: None, tmp_path)


def test_an_address_that_is_taken_is_said_at_once(tmp_path, addresses):
    for index in (0, 1):
        host, port = addresses[index].split(":")
        with (
            socket.create_server((host, int(port))),
            pytest.raises(EBMError, match="cannot listen on port") as said,
        ):
            if index:
                join(Cluster(addresses, 1), SAME, WAIT, lambda line: None, tmp_path)
            else:
                gather(Cluster(addresses, 0), SAME, WAIT, lambda line: None)
        assert f"{port} (Address already in use)" in str(said.value)


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x05{..}!"]
)
def test_who_knocks_and_is_no_worker_is_sent_away(tmp_path, addresses, noise):
    clusters = [Cluster(addresses[:2], index) for index in range(2)]
    host, port = addresses[0].split(":")

    heard = []

    def knocked():
        """Again where nobody is there yet, or what is sent comes back with a reset."""
        with suppress(OSError), socket.create_connection((host, int(port))) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            heard.append(connection.recv(1))
        return heard

    with ThreadPoolExecutor() as threads:
        chief = threads.submit(gather, clusters[0], SAME, WAIT, lambda line: None)
        until(knocked, "an end of the connection")
        assert heard == [b""], "nothing is told to strangers"
        other = threads.submit(join, clusters[1], SAME, WAIT, lambda line: None, tmp_path)
        close(chief.result(), other.result())


def test_a_file_is_taken_only_into_its_folder_and_only_where_one_is_expected(tmp_path, addresses):
    clusters = [Cluster(addresses[:2], index) for index in range(2)]
    inner = tmp_path / "inner"
    inner.mkdir()
    (chief, other), _ = meet(inner, clusters, [SAME] * 2)
    reasons = []
    chief[1].start(lambda message: None, reasons.append)
    other.start(lambda message: None, reasons.append)
    header = b'{"kind": "state", "files": {"../outside": 1}}'
    chief[1]._connection.sendall(len(header).to_bytes(4, "big") + header + b"x")
    until(lambda: reasons, "a reason")
    assert "names a file '../outside'" in reasons[0]
    assert not (tmp_path / "outside").exists()
    close(chief, other)


def test_what_would_be_a_huge_message_is_none():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as far,
    ):
        near, _ = listener.accept()
        far.sendall(b"GET / HTTP/1.1\r\n\r\n")
        channel = Channel(near)
        near.settimeout(2.0)
        with pytest.raises(Gone, match="it does not speak as a worker does"):
            channel.read()
        channel.close()
