"""The commands of the program, a module each; `sbusr.cli` has the list.

A command prints its result to standard output, with ``--json`` as one line of JSON, and what went
wrong to standard error. Its exit code is one of `sbusr.exits`.
"""
