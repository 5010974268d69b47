"""Settings of the sbusr daemon. Names and structure are those of the sbusr documentation."""

EXECUTOR_CONFIG = {
    # Requests that may wait or be in execution; more are answered "server busy". 0: no limit.
    "queue_maxsize": 1000,
    # Worker processes. None: as many as there are processors.
    "pool_processes": 1,
    # Requests after which a worker process is replaced by a new one. None: never.
    "pool_maxtasksperchild": 1000,
    # Seconds that one call may take; then its worker process is replaced, and the caller gets
    # error -32001. None: as long as it likes.
    "task_timeout": None,
    # MiB of memory above which a worker process is replaced by a new one. None: never.
    "max_rss_mb": None,
}

# Seconds that POST /api/flow waits for IPSC to acknowledge that the flow has started.
FLOW_ACK_TIMEOUT = 15

# See https://docs.python.org/3/library/logging.config.html#configuration-dictionary-schema
# Directories are made when needed; relative ones are in the current directory.
LOGGING_CONFIG = {
    "version": 1,
    "formatters": {
        "normal": {
            "format": (
                "%(asctime)s <%(processName)-10s,%(threadName)-10s> "
                "%(levelname)-8s %(name)s - %(message)s"
            ),
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "normal",
        },
        "consoleErr": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
            "level": "ERROR",
            "formatter": "normal",
        },
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": "logs/log",
            "maxBytes": 10485760,
            "backupCount": 1000,
            "level": "DEBUG",
            "formatter": "normal",
        },
        "fileErr": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": "logs/err",
            "maxBytes": 10485760,
            "backupCount": 1000,
            "level": "ERROR",
            "formatter": "normal",
        },
        "smartbusFile": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": "logs/smartbus",
            "maxBytes": 10485760,
            "backupCount": 1000,
            "formatter": "normal",
        },
    },
    "loggers": {
        "smartbus.ipcclient.client.Client": {"level": "INFO", "handlers": ["smartbusFile"]},
        "smartbus.netclient.client.Client": {"level": "INFO", "handlers": ["smartbusFile"]},
    },
    "root": {"level": "INFO", "handlers": ["console", "file", "fileErr"]},
}

# The bus. "sbusr_run.py --embedded" starts one of its own, at the address that stands here.
SMARTBUS_CONFIG = {
    # "net": TCP, see "clients". "ipc": the local socket of a bus on this machine, see "instance";
    # the environment's SMARTBUS_IPC_SOCKET names it, else it is /tmp/smartbus_ipc.
    "type": "net",
    # "net" needs unitid: flows reach the daemon as (unitid, localClientId).
    # "ipc" needs clientid and clienttype: flows reach it as (unit of the bus, clientid), and no
    # IPSC process may have that id.
    "initialize": {"unitid": 19, "clientid": 19, "clienttype": 19},
    # For "ipc" alone; an "encoding" as below is allowed here, too.
    "instance": {"username": None, "password": None, "extInfo": None},
    # For "net" alone. There may be several, of one bus or of several.
    "clients": [
        {
            "localClientId": 0,
            "localClientType": 19,
            "masterHost": "127.0.0.1",
            "masterPort": 8089,
            "slaverHost": None,
            "slaverPort": 0,
            "authorUsr": None,
            "authorPwd": None,
            "extInfo": None,
            # Tried first on what flows send; UTF-8 and GB18030 come after it.
            "encoding": "utf-8",
        },
    ],
}

# Milliseconds that a reply stays valid for the flow that waits for it.
SMARTBUS_NOTIFY_TTL = 10000

# (port, address) of the HTTP server. An empty address listens everywhere: mind who can reach it.
WEBSERVER_LISTEN = (8080, "127.0.0.1")

# Who may use HTTP for what. None: everybody for everything. Else a list, to which
# "python -m sbusr.tokens NAME SCOPE…" makes a member; the scopes are "flow", "reset",
# "metrics" and "rpc". See docs/http.md.
WEB_AUTH = None

# Certificate and key for HTTPS, files in PEM format: {"certfile": "…", "keyfile": "…"}.
# None: plain HTTP.
WEB_TLS = None

# Whether POST /api/rpc executes methods, for development: who may use it may call whatever flows
# may call.
WEB_RPC = False
