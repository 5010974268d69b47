"""The only floor that knows C: structures, signatures, library lookup, inbox, back ends.

Each file is about one thing. From the bottom: `abi` and `core_api` say what the C
libraries look like; `lookup` finds one; `inbox` and `thunks` are the two ways in which
events come out of C; `core_net` and `vendor_net` make one of `backend.NetBackend` of
them; `opening` chooses; `core_bus` wraps the bus server.
"""
