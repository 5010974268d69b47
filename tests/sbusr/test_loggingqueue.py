from __future__ import annotations

import logging
from queue import Queue

import pytest

from sbusr.loggingqueue import LoggerHandler, QueueHandler, QueueListener, drop_when_full


def test_from_handler_through_queue_to_the_logger_of_the_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue: Queue[logging.LogRecord] = Queue()
    listener = QueueListener(queue, LoggerHandler())
    listener.start()
    handler = QueueHandler(queue)
    caplog.set_level(logging.WARNING, "sbusr.test.name")
    for level in (logging.INFO, logging.WARNING):
        handler.handle(logging.LogRecord("sbusr.test.name", level, "f", 1, "%s!", (object,), None))
    listener.stop()
    assert [record.getMessage() for record in caplog.records] == ["<class 'object'>!"]


def test_a_full_queue_drops_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    queue: Queue[logging.LogRecord] = Queue(1)
    sink = drop_when_full(queue)
    records = [logging.makeLogRecord({"msg": str(n)}) for n in range(5)]
    for record in records[:4]:
        sink(record)
    assert queue.get() is records[0]
    sink(records[4])
    assert queue.get() is records[4]
    assert "3 log records were dropped" in caplog.text
