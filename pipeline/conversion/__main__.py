"""The process that reads weights of other tools: a request on stdin, a reply on stdout, nothing else of the node's."""

import sys

from pipeline.conversion.request import ConversionRequest, Converted, Refused, Reply
from pipeline.errors import GlioLoopError


def convert(request: ConversionRequest) -> Converted:
    """Make a folder with ONNX files and card of another tool's.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE, IMPORT_UNSUPPORTED, IMPORT_CHANNEL_UNKNOWN, IMPORT_REGION_UNKNOWN, IMPORT_UNTRUSTED,
        IMPORT_UNAVAILABLE, EXPORT_FAILED.
    """
    try:
        from pipeline.conversion.read import read  # noqa: PLC0415 - torch may lack
        from pipeline.conversion.write import write  # noqa: PLC0415 - as above
    except ImportError as error:
        raise GlioLoopError("IMPORT_UNAVAILABLE", str(error)) from None
    described, networks, how = read(request)
    card = write(described, networks, request)
    named = (f"{one.region.value}: {','.join(map(str, one.channels))}" for one in card.outputs)
    said = f"input {', '.join(card.grid.order)}; channels of {'; '.join(named)}"
    return Converted(skull_stripped=described.skull_stripped, notes=(how, said, *described.notes))


def main() -> None:
    """Answer one request."""
    answer, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    try:
        reply = Reply(converted=convert(ConversionRequest.model_validate_json(sys.stdin.read())))
    except GlioLoopError as error:
        reply = Reply(refused=Refused(code=error.code, detail=error.detail))
    print(reply.model_dump_json(), file=answer, flush=True)


if __name__ == "__main__":
    main()
