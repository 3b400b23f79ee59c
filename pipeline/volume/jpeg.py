"""JPEG and JPEG Lossless for pydicom by libjpeg alone.

pydicom's own plugin for it wants the meta-package pylibjpeg beside pylibjpeg-libjpeg, only to look the decoder
up. JPEG Lossless is what many archives keep MR in, so it must not hang on that.
"""

from typing import cast

from libjpeg.utils import decode_pixel_data
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

_LABEL = "glioloop-libjpeg"
_SYNTAXES = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)

# pydicom shows these where no plugin can decode
DECODER_DEPENDENCIES = dict.fromkeys(_SYNTAXES, ("pylibjpeg-libjpeg>=2.1",))


def is_available(transfer_syntax: str) -> bool:
    """Whether this module decodes a transfer syntax (asked by pydicom)."""
    return transfer_syntax in _SYNTAXES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytearray:
    """One decoded frame, little-endian as pydicom expects it (called by pydicom)."""
    return cast(bytearray, decode_pixel_data(source, version=2, **runner.options))


def register() -> None:
    """Add the decoder to pydicom's, once."""
    for syntax in _SYNTAXES:
        decoder = get_decoder(syntax)
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, "decode_frame"))
