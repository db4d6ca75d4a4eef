"""Apache's Python client for gRPC, unmodified. Topics and groups $PREFIX-* are those of ../programs-grpc/topics.txt; $TLS
says whether the client speaks TLS. One line a case; a case fails by an exception."""

import os
import re
import threading
import time

from rocketmq import (
    ClientConfiguration,
    ConsumeResult,
    Credentials,
    FilterExpression,
    Message,
    MessageListener,
    Producer,
    PushConsumer,
    SimpleConsumer,
    TransactionChecker,
    TransactionResolution,
)
from rocketmq.grpc_protocol import FilterType

WAIT_SECONDS = 75
CASE_SECONDS = 150
PREFIX = os.environ["PREFIX"]
TLS = os.environ.get("TLS") != "false"
CONFIG = ClientConfiguration(os.environ["GRPC_ENDPOINT"], Credentials(), request_timeout=8)


def topic(name):
    return f"{PREFIX}-{name}"


def group(name):
    return f"{PREFIX}-g-{name}"


def message(name, body, properties=None, **fields):
    made = Message()
    made.topic = topic(name)
    made.body = body if isinstance(body, bytes) else body.encode()
    for key, value in (properties or {}).items():
        made.add_property(key, value)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def text(view):
    return view.body.decode()


class Listener(MessageListener):
    def __init__(self, consume):
        self.consume_one = consume

    def consume(self, message):
        return ConsumeResult.SUCCESS if self.consume_one(message) else ConsumeResult.FAILURE


class Checker(TransactionChecker):
    def __init__(self, commits):
        self.commits = commits

    def check(self, message):
        return TransactionResolution.COMMIT if self.commits(message) else TransactionResolution.ROLLBACK


def push(name, consume, expression=None):
    subscription = {topic(name): expression or FilterExpression()}
    PushConsumer(CONFIG, group(name), Listener(consume), subscription, tls_enable=TLS).startup()


def collect(name, expression=None):
    seen = []

    def consume(view):
        seen.append(text(view))
        return True

    push(name, consume, expression)
    return seen


def simple(name):
    consumer = SimpleConsumer(CONFIG, group(name), {topic(name): FilterExpression()}, 5, tls_enable=TLS)
    consumer.startup()
    return consumer


def receive(consumer, invisible):
    for _ in range(8):
        views = consumer.receive(8, invisible)
        if views:
            return views
    return []


def start_producer(*topics, checker=None):
    made = Producer(CONFIG, topics, checker=checker, tls_enable=TLS)
    made.startup()
    return made


def check(good, why):
    if not good:
        raise AssertionError(why)


def equal(want, got, what):
    check(want == got, f"{what}: want {want}, got {got}")


def until(what, done):
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        check(time.monotonic() < end, f"not in time: {what}")
        time.sleep(0.1)


def refused(what, send):
    try:
        answer = send()
    except Exception:
        return
    raise AssertionError(f"{what} was accepted: {answer}")


def plain_text():
    body = os.urandom(1 << 20)
    receipt = producer.send(message("plain", body))
    consumer = simple("plain")
    views = receive(consumer, 20)
    equal([receipt.message_id], [view.message_id for view in views], "message ids")
    check(views[0].body == body, "the body differs")
    consumer.ack(views[0])


def send():
    ids = {producer.send(message("send", f"m{i}")).message_id for i in range(10)}
    futures = [producer.send_async(message("send", f"a{i}")) for i in range(30)]
    ids.update(future.result(30).message_id for future in futures)
    equal(40, len(ids), "distinct ids")


def push_case():
    views = {}

    def consume(view):
        views[text(view)] = view
        return True

    push("push", consume)
    ids = {}
    for i in range(40):
        sent = message("push", f"m{i}", {"ключ": f"знач {i}"}, tag="täg", keys=f"key{i}")
        ids[f"m{i}"] = producer.send(sent).message_id
    until("40 messages", lambda: len(views) == 40)
    for i in range(40):
        view = views[f"m{i}"]
        equal("täg", view.tag, "tag")
        equal([f"key{i}"], list(view.keys), "keys")
        equal(f"знач {i}", view.properties.get("ключ"), "property")
        equal(1, view.delivery_attempt, "attempt")
        equal(ids[f"m{i}"], view.message_id, "message id")


def tag_filter():
    seen = collect("tag", FilterExpression("a || b"))
    for tag in ("a", "b", "c", "ab"):
        producer.send(message("tag", tag, tag=tag))
    producer.send(message("tag", "none"))
    until("a and b", lambda: len(seen) >= 2)
    time.sleep(1.5)
    equal(["a", "b"], sorted(seen), "messages")


def sql92_filter():
    seen = collect("sql", FilterExpression("a > 4 AND region IN ('eu', 'us')", FilterType.SQL))
    wanted = []
    for i in range(20):
        region = ("eu", "us", "cn")[i % 3]
        producer.send(message("sql", f"m{i}", {"a": str(i % 10), "region": region}))
        if i % 10 > 4 and i % 3 < 2:
            wanted.append(f"m{i}")
    until("all that match", lambda: len(seen) >= len(wanted))
    time.sleep(1.5)
    equal(sorted(wanted), sorted(seen), "messages")


def fifo():
    seen = {}
    count = []

    def consume(view):
        seen.setdefault(view.message_group, []).append(int(text(view)))
        count.append(1)
        return True

    push("fifo", consume)
    for i in range(12):
        for number in range(4):
            producer.send(message("fifo", str(i), message_group=f"g{number}"))
    until("48 messages", lambda: len(count) >= 48)
    equal({f"g{number}": list(range(12)) for number in range(4)}, seen, "order")


def fifo_retry():
    seen = []

    def consume(view):
        seen.append(text(view))
        return text(view) != "x1" or seen.count("x1") >= 3

    push("fiforetry", consume)
    for i in range(3):
        producer.send(message("fiforetry", f"x{i}", message_group="one"))
    until("x2", lambda: "x2" in seen)
    # Attempts are not asked for: this client tries again by itself, with the message as it came.
    equal(["x0", "x1", "x1", "x1", "x2"], seen, "order with retries")


def delay():
    arrived = []

    def consume(_view):
        arrived.append(time.time())
        return True

    push("delay", consume)
    time.sleep(3)
    due = int(time.time()) + 5
    producer.send(message("delay", "d", delivery_timestamp=due))
    until("the delayed message", lambda: arrived)
    late = arrived[0] - due
    check(-1.3 < late < 8, f"it came {late:.1f} s after its time")


def recall():
    seen = collect("recall")
    due = int(time.time()) + 10
    gone = producer.send(message("recall", "gone", delivery_timestamp=due))
    producer.send(message("recall", "kept", delivery_timestamp=due))
    equal(gone.message_id, producer.recall_message(topic("recall"), gone.recall_handle), "recalled id")
    until("the other", lambda: seen)
    time.sleep(2.5)
    equal(["kept"], seen, "messages")


def tx_commit_rollback():
    seen = collect("tx")
    sender = start_producer(topic("tx"), checker=Checker(lambda view: False))
    for i in range(6):
        transaction = sender.begin_transaction()
        sender.send(message("tx", f"x{i}"), transaction)
        if i % 2 == 0:
            transaction.commit()
        else:
            transaction.rollback()
    until("3 messages", lambda: len(seen) >= 3)
    time.sleep(2)
    equal(["x0", "x2", "x4"], sorted(seen), "delivered")


def tx_check():
    seen, asked = collect("txcheck"), []

    def commits(view):
        asked.append(text(view))
        return text(view) == "yes"

    sender = start_producer(topic("txcheck"), checker=Checker(commits))
    for body in ("yes", "no"):
        sender.send(message("txcheck", body), sender.begin_transaction())
    until("both are checked", lambda: len(asked) >= 2 and seen)
    time.sleep(2)
    equal(["yes"], seen, "delivered")


def retry_attempts():
    attempts = []

    def consume(view):
        attempts.append(view.delivery_attempt)
        return len(attempts) > 3

    push("retry", consume)
    producer.send(message("retry", "x"))
    until("4 attempts", lambda: len(attempts) >= 4)
    equal([1, 2, 3, 4], attempts, "attempts")


def dead_letters():
    seen = []

    def consume(view):
        seen.append(text(view))
        return False

    push("dlq", consume)
    producer.send(message("dlq", "dead"))
    until("2 deliveries", lambda: len(seen) >= 2)
    time.sleep(8)
    equal(2, len(seen), "deliveries of a group with one retry")


def simple_ack():
    consumer = simple("simple")
    for i in range(10):
        producer.send(message("simple", f"s{i}"))
    seen = []
    for _ in range(20):
        for view in consumer.receive(8, 10):
            seen.append(text(view))
            consumer.ack(view)
        if len(seen) >= 10:
            break
    equal(sorted(f"s{i}" for i in range(10)), sorted(seen), "received")
    time.sleep(11)
    equal([], consumer.receive(8, 10), "messages after their acknowledgement")


def change_invisible():
    consumer = simple("invis")
    producer.send(message("invis", "x"))
    views = receive(consumer, 60)
    equal(1, len(views), "received")
    start = time.monotonic()
    consumer.change_invisible_duration(views[0], 10)
    again = receive(consumer, 20)
    equal([2], [view.delivery_attempt for view in again], "attempts")
    took = time.monotonic() - start
    check(8.5 < took < 25, f"visible again after {took:.1f} s")
    consumer.ack(again[0])


def refusals():
    refused("an unknown topic", lambda: producer.send(message("nosuch", "x")))
    refused("a FIFO message to a NORMAL topic", lambda: producer.send(message("mismatch", "x", message_group="g")))


CASES = {
    "plain-text": plain_text,
    "send": send,
    "push": push_case,
    "tag-filter": tag_filter,
    "sql92-filter": sql92_filter,
    "fifo": fifo,
    "fifo-retry-keeps-order": fifo_retry,
    "delay": delay,
    "recall": recall,
    "tx-commit-rollback": tx_commit_rollback,
    "tx-check": tx_check,
    "retry-attempts": retry_attempts,
    "dlq-stops-redelivery": dead_letters,
    "simple-ack": simple_ack,
    "change-invisible": change_invisible,
    "refusals": refusals,
}
verdicts = {}


def run(name):
    try:
        CASES[name]()
        verdicts[name] = "ok"
        print(f"ok python-grpc/{name}", flush=True)
    except Exception as problem:
        verdicts[name] = "FAIL"
        print(f"FAIL python-grpc/{name}: {' '.join(repr(problem).split())}", flush=True)


producer = start_producer(topic("send"), topic("push"))
only = os.environ.get("ONLY") or ".*"
names = [name for name in CASES if re.fullmatch(only, name)]
threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in names]
for thread in threads:
    thread.start()
deadline = time.monotonic() + CASE_SECONDS
for thread in threads:
    thread.join(max(0, deadline - time.monotonic()))
for name in names:
    if name not in verdicts:
        print(f"FAIL python-grpc/{name}: time limit", flush=True)
# The client's threads keep the interpreter alive.
os._exit(0 if all(verdicts.get(name) == "ok" for name in names) else 1)
