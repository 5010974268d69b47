"""The ctypes declarations against the C headers: a compiled probe, and the prototypes' text."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smartbus._c import abi, core_api, lookup
from smartbus.errors import ERRORS

INCLUDE = Path(__file__).parents[2] / "native" / "include"
CORE_HEADER = INCLUDE / "smartbus_core.h"
ABI_HEADER = INCLUDE / "smartbus_abi.h"


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", " ", path.read_text("utf-8"), flags=re.DOTALL)


CORE_TEXT = without_comments(CORE_HEADER)
ABI_TEXT = without_comments(ABI_HEADER)

# C name of each structure, what stands for it here, and C's names of its fields in order.
STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "sb_bus_options": core_api.BusOptions,
    "sb_bus_stats_t": core_api.BusStats,
    "sb_bus_client": core_api.BusClient,
    "SMARTBUS_PACKET_HEAD": abi.PacketHead,
}
C_HEAD_FIELDS = [
    "flag",
    "cmd",
    "cmdtype",
    "src_unit_client_type",
    "src_unit_id",
    "src_unit_client_id",
    "dest_unit_client_type",
    "dest_unit_id",
    "dest_unit_client_id",
    "reserved",
    "packet_size",
    "datalen",
]
HEAD_FIELDS = {
    str(field[0]): name for field, name in zip(abi.PacketHead._fields_, C_HEAD_FIELDS, strict=True)
}
# C name, struct format, C's names of its fields in order.
PACKED = {
    "sb_event": (core_api.EVENT, "kind client flags code id size offset head pad"),
    "sb_batch": (core_api.BATCH, "events data count size"),
    "sb_notify_item": (
        core_api.NOTIFY_ITEM,
        "server_unit process title_size expires text_size result",
    ),
}


def c_field(structure: str, field: str) -> str:
    return HEAD_FIELDS[field] if structure == "SMARTBUS_PACKET_HEAD" else field


def constants() -> dict[str, int]:
    """Every constant of the core's header that this package has, by its C name."""
    return {
        f"SB_{name}": value
        for name, value in vars(core_api).items()
        if re.match(r"(EV|LEFT|NET)_[A-Z_]+$", name)
    }


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the C compiler makes of the headers: sizes, offsets, constants."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    lines = [f'printf("{name} %lld\\n", (long long){name});' for name in sorted(all_constants())]
    for name, structure in STRUCTURES.items():
        fields = [c_field(name, str(field[0])) for field in structure._fields_]
        lines += size_and_offsets(name, fields)
    for name, (_, fields_text) in PACKED.items():
        lines += size_and_offsets(name, fields_text.split())
    source = tmp_path_factory.mktemp("probe") / "probe.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n"
        '#include "smartbus_abi.h"\n#include "smartbus_core.h"\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    program = source.with_suffix("")
    subprocess.run([compiler, f"-I{INCLUDE}", "-o", program, source], check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


def size_and_offsets(name: str, fields: list[str]) -> list[str]:
    return [
        f'printf("sizeof({name}) %zu\\n", sizeof({name}));',
        *(
            f'printf("{name}.{field} %zu\\nsizeof({name}.{field}) %zu\\n", '
            f"offsetof({name}, {field}), sizeof((({name} *)0)->{field}));"
            for field in fields
        ),
    ]


def all_constants() -> set[str]:
    """Every enumerator of the core's header."""
    bodies = re.findall(r"enum\s*\w*\s*\{(.*?)\}", CORE_TEXT, flags=re.DOTALL)
    return {name for body in bodies for name in re.findall(r"\bSB_[A-Z_0-9]+\b", body)}


def test_every_constant_is_here_with_its_value(probe: dict[str, int]) -> None:
    errors = {name: value for name, value in probe.items() if re.match(r"SB_E[A-Z]+$", name)}
    assert {-99, -25, -1} < set(errors.values())
    assert set(errors.values()) == set(ERRORS)
    others = all_constants() - set(errors) - {"SB_OK"}
    assert {name: probe[name] for name in others} == constants()


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(probe: dict[str, int], name: str) -> None:
    structure = STRUCTURES[name]
    assert ctypes.sizeof(structure) == probe[f"sizeof({name})"]
    for field in structure._fields_:
        ours = getattr(structure, str(field[0]))
        theirs = c_field(name, str(field[0]))
        assert ours.offset == probe[f"{name}.{theirs}"], field
        assert ours.size == probe[f"sizeof({name}.{theirs})"], field


def test_the_structures_have_all_fields() -> None:
    for name, structure in STRUCTURES.items():
        text = ABI_TEXT if name == "SMARTBUS_PACKET_HEAD" else CORE_TEXT
        body = re.search(r"\{([^{}]*)\}\s*" + name + ";", text)
        assert body is not None, name
        declared = re.findall(r"(\w+)(?:\[\d+\])?\s*[,;]", body[1])
        assert declared == [c_field(name, str(field[0])) for field in structure._fields_]


@pytest.mark.parametrize("name", PACKED)
def test_struct_formats(probe: dict[str, int], name: str) -> None:
    layout, fields_text = PACKED[name]
    assert layout.size == probe[f"sizeof({name})"]
    fields = [field for field in fields_text.split() if field != "pad"]
    for index, field in enumerate(fields):
        # A value whose bytes are all ones must appear at the field's place, and nowhere else.
        size = probe[f"sizeof({name}.{field})"]
        values: list[Any] = [0] * len(fields)
        if field == "head":
            values[index] = b"\xff" * size
        else:
            signed = layout.format.strip("<@")[index] in "bhiq"
            values[index] = -1 if signed else (1 << 8 * size) - 1
        if "head" in fields and field != "head":
            values[fields.index("head")] = b""
        offset = probe[f"{name}.{field}"]
        expected = bytes(offset) + b"\xff" * size
        assert layout.pack(*values) == expected.ljust(layout.size, b"\0"), field


# ---- prototypes --------------------------------------------------------------------------

PROTOTYPE = re.compile(r"SB_API\s+([\w\s]+?[\s*]+)(\w+)\(([^;]*)\);")

SCALARS = {
    "int": ctypes.c_int,
    "unsigned": ctypes.c_uint,
    "unsigned char": ctypes.c_ubyte,
    "unsigned short": ctypes.c_ushort,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "char": ctypes.c_char,
}


def c_type(text: str) -> Any:
    """The scalar's ctypes type, "pointer", or None for void."""
    text = " ".join(text.replace("const", "").split())
    if "*" in text or text.startswith("smartbus_"):
        return "pointer"
    return None if text == "void" else SCALARS[text]


def parameter_type(text: str) -> Any:
    return c_type(text if "*" in text else text.rsplit(None, 1)[0])


def our_type(declared: Any) -> Any:
    if declared is None or (isinstance(declared, type) and declared in SCALARS.values()):
        return declared
    return "pointer"  # void*, char*, POINTER(...)


def prototypes(text: str) -> dict[str, tuple[Any, list[Any]]]:
    found = {}
    for returned, name, arguments in PROTOTYPE.findall(text):
        parts = [] if arguments.strip() == "void" else arguments.split(",")
        found[name] = (c_type(returned), [parameter_type(part.strip()) for part in parts])
    return found


def test_core_functions_are_all_declared_and_right() -> None:
    wanted = prototypes(CORE_TEXT)
    declared = {**core_api.SLOW_FUNCTIONS, **core_api.QUICK_FUNCTIONS}
    callbacks = {core_api.PREFIX + name for name in core_api.CALLBACK_FUNCTIONS}
    assert {core_api.PREFIX + name for name in declared} | callbacks == set(wanted)
    for name, signature in declared.items():
        returned, arguments = wanted[core_api.PREFIX + name]
        assert our_type(signature.restype) == returned, name
        if signature.argtypes == ():  # hot, or without parameters
            # Without argtypes ctypes passes an int as C's int, and nothing else as a number.
            assert {"pointer", ctypes.c_int} >= set(arguments), name
        else:
            assert [our_type(declared) for declared in signature.argtypes] == arguments, name


def test_hot_functions_are_called_as_declared() -> None:
    wanted = prototypes(CORE_TEXT)
    int_, pointer = ctypes.c_int, "pointer"
    assert wanted["sb_inbox_drain"][1] == [pointer, pointer]
    assert wanted["sb_net_send"][1] == [pointer, *[int_] * 6, pointer, int_]
    assert wanted["sb_net_ping"][1] == [pointer, *[int_] * 4, pointer, int_]
    assert wanted["sb_net_notify"][1] == [
        pointer,
        *[int_] * 3,
        pointer,
        pointer,
        int_,
        int_,
        pointer,
    ]


@pytest.mark.parametrize(
    ("prefix", "functions", "count"),
    [
        (abi.NET_PREFIX, abi.NET_FUNCTIONS, 13),
        (abi.IPC_PREFIX, abi.IPC_FUNCTIONS, 12),
    ],
)
def test_vendor_functions_are_all_declared_and_right(
    prefix: str, functions: dict[str, abi.Signature], count: int
) -> None:
    wanted = {
        name: types for name, types in prototypes(ABI_TEXT).items() if name.startswith(prefix)
    }
    assert {prefix + name for name in functions} == set(wanted)
    assert len(wanted) == count
    for name, signature in functions.items():
        returned, arguments = wanted[prefix + name]
        assert our_type(signature.restype) == returned, name
        assert [our_type(declared) for declared in signature.argtypes] == arguments, name


@pytest.mark.parametrize(
    ("typedef", "callback", "function"),
    [
        ("smartbus_cli_connection_cb", abi.ConnectionCallback, "sb_on_connection"),
        ("smartbus_cli_disconnect_cb", abi.DisconnectCallback, "sb_on_disconnect"),
        ("smartbus_cli_recvdata_cb", abi.DataCallback, "sb_on_data"),
        ("smartbus_invokeflow_ack_cb", abi.FlowCallback, "sb_on_flow_ack"),
        ("smartbus_invokeflow_ret_cb", abi.FlowCallback, "sb_on_flow_return"),
        ("smartbus_global_connect_cb", abi.GlobalConnectCallback, "sb_on_global_connect"),
        ("smartbus_trace_str", abi.TraceCallback, "sb_on_trace"),
    ],
)
def test_callbacks(typedef: str, callback: Any, function: str) -> None:
    match = re.search(r"typedef void \(\*" + typedef + r"\)\(([^;]*)\);", ABI_TEXT)
    assert match is not None
    in_typedef = [parameter_type(part.strip()) for part in match[1].split(",")]
    assert [our_type(declared) for declared in callback._argtypes_] == in_typedef
    assert prototypes(CORE_TEXT)[function][1] == in_typedef


def test_the_built_core_exports_everything() -> None:
    library = ctypes.CDLL(str(lookup.core_path()))
    for name in [*prototypes(CORE_TEXT), *prototypes(ABI_TEXT)]:
        assert hasattr(library, name), name
