"""Records events with a peer from PyPI, as `bench/stores.mjs` asks for, or checks what it has written. Prints JSON."""

import json
import sys
import time

_, what, place, total, first = sys.argv
total, first = int(total), int(first)
NAMES = ["get_user_details", "search_flights", "book_seat", "send_refund"]


def output(i):
    return json.dumps({"text": f"result {i}", "items": [1, 2, 3], "note": "x" * 100})


def members(i):
    return {
        "agent": f"agent-{i // 4 % 20}",
        "on_behalf_of": f"customer-{i % 1000}",
        "outcome": "failure" if i % 51 == 0 else "success",
        "session": f"session-{i % 2000}",
        "run": f"run-{i // 60}",
        "call": f"call-{i}",
        "tool": NAMES[i % 4],
        "duration_ms": 12.5,
        "message_count": i % 17,
    }


if what.startswith("selectools"):
    from selectools.audit import AuditLogger

    logger = AuditLogger(place, daily_rotation=False, include_content=True)

    def record(i):
        e = members(i)
        logger.on_tool_end(e["run"], e["call"], e["tool"], output(i), e["duration_ms"])

    def check():
        with open(f"{place}/audit.jsonl") as lines:
            return {"lines": sum(1 for line in lines if json.loads(line)), "verified": None}

else:
    from llm_audit_trail import AuditLogger, verify_log

    path = f"{place}/audit.jsonl"
    logger = AuditLogger(path, key=b"k" * 32, fsync=what.endswith("fsync"))

    def record(i):
        logger.emit("ToolEnd", {**members(i), "output": output(i)}, actor=members(i)["agent"])

    def check():
        with open(path) as lines:
            count = sum(1 for _ in lines)
        return {"lines": count, "verified": bool(verify_log(path, key=b"k" * 32)[0])}


if total == 0:
    print(json.dumps(check()))
else:
    start = time.perf_counter()
    for i in range(first, first + total):
        record(i)
    elapsed = time.perf_counter() - start
    print(json.dumps({"rate": total / elapsed, "elapsed": elapsed}))
