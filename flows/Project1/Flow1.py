"""The echo example: ask sbusr's method `echo`, wait for its answer, return it.

Parameters: texts, of which the words are echoed; and, if the request should not go to
unit 19, client 0, the unit and the client as two numbers. Returns `[answer]`.
"""
# ruff: noqa: UP031

import json

texts = [item for item in params if isinstance(item, str)]
numbers = [item for item in params if isinstance(item, int)]
unit, client = numbers if len(numbers) == 2 else (19, 0)
request = uuid()

smartbusSendData(unit, client, -1, 1, 211, json.dumps({
    "jsonrpc": "2.0",
    "id": request,
    "method": "echo",
    "params": [" ".join(texts)],
}))  # fmt: skip

# IPSC wants AsynchInvoke and its arguments on one line.
res = AsynchInvoke(SmartbusWaitNotify(request, 0, 10000))
resobj = json.loads(res)
if "result" in resobj:
    Trace("返回值是:%s" % (resobj["result"]))
    result = [resobj["result"]]
elif "error" in resobj:
    TraceErr("返回错误:%s : %s" % (resobj["error"]["code"], resobj["error"]["message"]))
    result = [{"error": resobj["error"]}]
