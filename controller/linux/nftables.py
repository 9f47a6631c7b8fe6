"""libnftables in this process: text in, JSON out, each call one transaction."""

from __future__ import annotations

import ctypes

_JSON_OUTPUT = 1 << 4
_NUMERIC_OUTPUT = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10
"""Protocols, priorities, symbols and times as numbers (libnftables.h, enum of NFT_CTX_OUTPUT)."""


class Nftables:
    """A context bound to the network namespace that it was made in."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._context = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, text: str) -> tuple[bool, str]:
        """Whether it was done, and the output or the error message."""
        listing = text.startswith("list")
        # With JSON output on, input is taken for JSON first: only listings need it.
        self._library.nft_ctx_output_set_flags(self._context, _NUMERIC_OUTPUT | (_JSON_OUTPUT if listing else 0))
        failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        error: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        return (False, error.decode()) if failed else (True, output.decode())
