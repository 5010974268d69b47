"""What belongs to one link and is never routed: registration and heartbeats (NET.md 2, 3)."""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal, NamedTuple

from .frame import NODE, Address, Cmd, CmdType, ProtocolError, cstring, encode_frame, fixed

__all__ = [
    "VERSION_2018",
    "Heartbeat",
    "Registration",
    "RegistrationAck",
    "WireForm",
    "encode_heartbeat_ack",
]

#: Generation of the vendor's library whose registration and heartbeat are meant.
WireForm = Literal["2015", "2018"]

#: The version text of the vendor's 2018 library.
VERSION_2018: Final = b"1.0.1.0465"

_USER: Final = 64
_PASSWORD: Final = 128
_INFO: Final = 256

# Node block: used, connected, unit, access point, is_netcli, master ip and port, slave ip
# and port, cli_count; then 16 client entries, of which we fill the first: used, connected,
# id, type, info. An entry ends with a pointer of the sender and a text of 64 bytes.
_NODE: Final = Struct("<BBiiB64xi64xiB")
_CLIENT: Final = Struct("<BBii256s")
_CLIENTS: Final = 16
_I32: Final = Struct("<i")


def _node_size(wide: bool) -> int:
    """Return the size of a node block from a 64-bit (`wide`) or 32-bit sender (NET.md 2.3)."""
    return _NODE.size + _CLIENTS * (_CLIENT.size + (8 if wide else 4) + 64)


# Fields in front of the node block, as they stand in the frame's data.
_FORMS: Final[dict[WireForm, Struct]] = {
    "2015": Struct(f"<B{_USER}s{_PASSWORD}s{_INFO}s"),
    "2018": Struct(f"<B20s{_USER}s{_PASSWORD}sq{_INFO}s"),
}
# NET-2018.md 1.1: the data length tells the layouts apart.
_BY_SIZE: Final[dict[int, tuple[WireForm, bool]]] = {
    struct.size + _node_size(wide): (form, wide)
    for form, struct in _FORMS.items()
    for wide in (True, False)
}


class Registration(NamedTuple):
    """A client's request to be let in (NET.md 2.1, NET-2018.md 1); its address is in the header.

    Too long texts are cut as the vendor does: user 63 bytes, password 127, info 255.
    """

    user: bytes = b""
    password: bytes = b""
    info: bytes = b""
    connect_index: int = 0  # 0 master link, 1 slave link
    form: WireForm = "2018"
    version: bytes = VERSION_2018  # empty in the 2015 form
    pid: int = 0  # 0 in the 2015 form
    wide: bool = True  # layout of a 64-bit sender

    def encode(self, src: Address, access_point: int = -1) -> bytes:
        """Return the frame with which the client `src` registers.

        Args:
            src: The client's address.
            access_point: Unit of the server that let the client in before, or -1.
        """
        texts = fixed(self.user, _USER), fixed(self.password, _PASSWORD)
        info = fixed(self.info, _INFO)
        unit, client, kind = src
        if self.form == "2018":
            version = fixed(self.version, 20)
            fields = _FORMS["2018"].pack(self.connect_index, version, *texts, self.pid, info)
        else:
            fields = _FORMS["2015"].pack(self.connect_index, *texts, info)
        node = _NODE.pack(1, 1, unit, access_point, 1, 0, 0, 1)
        node += _CLIENT.pack(1, 1, client, kind, info)
        data = fields + node.ljust(_node_size(self.wide), b"\0")
        # The client knows no receiver yet: the vendor leaves these bytes unwritten.
        return encode_frame(src, Address(0, 0, 0), Cmd.REGISTER, CmdType.LINK, data)

    @classmethod
    def decode(cls, data: bytes) -> Registration:
        """Read a request in any of its layouts, chosen as NET-2018.md 1.1 says.

        The node block says nothing that the header does not say; it is ignored. A layout
        that the table does not know by its size counts as a 64-bit sender's.

        Raises:
            ProtocolError: `data` is too short for every layout.
        """
        size = len(data)
        known = _BY_SIZE.get(size)
        if known:
            form, wide = known
        else:
            version = cstring(data[1:21])
            dotted = bool(version) and not version.strip(b"0123456789.")
            form = "2018" if dotted and size >= _FORMS["2018"].size else "2015"
            wide = True
            if size < _FORMS[form].size:
                raise ProtocolError(f"a registration of {size} bytes is too short")
        fields = _FORMS[form].unpack_from(data)
        if form == "2018":
            index, version, user, password, pid, info = fields
        else:
            index, user, password, info = fields
            version, pid = b"", 0
        return cls(
            cstring(user),
            cstring(password),
            cstring(info),
            index,
            form,
            cstring(version),
            pid,
            wide,
        )


class RegistrationAck(NamedTuple):
    """The server's answer to a registration (NET.md 2.4): 0 lets the client in."""

    result: int

    def encode(
        self, server: int, dst: Address, *, node: Literal["wide", "narrow"] | None = "wide"
    ) -> bytes:
        """Return the answer's frame.

        Args:
            server: The server's unit.
            dst: The client.
            node: Append the server's node block in the layout of a 64-bit (`"wide"`) or
                32-bit client, or none: nobody reads it.
        """
        data = _I32.pack(self.result)
        if node:
            block = _NODE.pack(1, 1, server, server, 0, 0, 0, 0)
            data += block.ljust(_node_size(node == "wide"), b"\0")
        src = Address(server, 0, NODE)
        return encode_frame(src, dst, Cmd.REGISTER_ACK, CmdType.LINK, data)

    @classmethod
    def decode(cls, data: bytes) -> RegistrationAck:
        """Read an answer, with or without a node block.

        Raises:
            ProtocolError: `data` has less than 4 bytes.
        """
        if len(data) < _I32.size:
            raise ProtocolError(f"a registration ack of {len(data)} bytes is too short")
        return cls(_I32.unpack_from(data)[0])


# number, resend_count, time_launch, time_return.
_BEAT: Final[dict[WireForm, Struct]] = {"2015": Struct("<qqqq"), "2018": Struct("<iiqq")}


class Heartbeat(NamedTuple):
    """A sign of life (NET.md 3.1, NET-2018.md 2) and the body of its ack."""

    number: int  # 0, 1, 2 … on each connection
    time_launch: int  # unix time, seconds
    time_return: int = 0
    form: WireForm = "2018"  # "2018" is also the form of 32-bit senders

    def encode(self, src: Address, access_point: int = -1) -> bytes:
        """Return the frame that the client `src` sends to its server, the unit `access_point`."""
        data = _BEAT[self.form].pack(self.number, 0, self.time_launch, self.time_return)
        dst = Address(access_point, -1, NODE)
        return encode_frame(src, dst, Cmd.HEARTBEAT, CmdType.LINK, data)

    @classmethod
    def decode(cls, data: bytes) -> Heartbeat:
        """Read a heartbeat's or its ack's body.

        Raises:
            ProtocolError: `data` has neither form's length.
        """
        for form, struct in _BEAT.items():
            if len(data) == struct.size:
                number, _, launch, back = struct.unpack(data)
                return cls(number, launch, back, form)
        raise ProtocolError(f"a heartbeat has 24 or 32 bytes, not {len(data)}")


def encode_heartbeat_ack(
    server: int, dst: Address, body: bytes, time_return: int | None = None
) -> bytes:
    """Return the ack of a heartbeat: its own `body`, with the server's time in the last 8 bytes.

    Args:
        server: The server's unit.
        dst: The client.
        body: The heartbeat's data, whatever its length; it may be empty.
        time_return: Unix time in seconds; None leaves the body as it is.
    """
    if time_return is not None and len(body) >= 8:
        body = body[:-8] + time_return.to_bytes(8, "little", signed=True)
    src = Address(server, 0, NODE)
    return encode_frame(src, dst, Cmd.HEARTBEAT_ACK, CmdType.LINK, body)
