"""A client whose next message is always there before the last is answered."""
import threading

from support import wire

BATCH = 50


class Endless:
    """Sends the messages again and again and counts the answers, until it is left."""

    def __init__(self, server, tenant, messages):
        self.connection = wire.connect_to_tenant(server, tenant)
        self.batch = messages * BATCH
        self.answered, self.failure = 0, None
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=[step])
                        for step in (self.send, self.receive)]

    def work(self, step):
        try:
            while not self.over.is_set():
                step()
        except (OSError, wire.Closed) as failure:
            if not self.over.is_set():
                self.failure = failure

    def send(self):
        self.connection.send(self.batch)

    def receive(self):
        message = self.connection.receive()
        assert message.type != "E", message
        self.answered += message.type == "Z"

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.connection.shut()
        for thread in self.threads:
            thread.join()
        self.connection.close()
        assert self.failure is None, self.failure
