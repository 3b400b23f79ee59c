"""C-STORE ingest of the same Orthanc with and without the plugin, by turns in the same run.

python -m benchmarks.ingest --rounds 5 --images 300
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE

from pipeline.node import LOOPBACK, Modality, OrthancProcess, free_port, write_configuration
from pipeline.node.configuration import NodeConfiguration
from pipeline.settings import ROOT

SCANNER = "SCANNER"


def _images(count: int) -> list[pydicom.Dataset]:
    files = sorted((ROOT / "samples" / "synthetic-study").glob("*/*.dcm"))
    found = []
    for number in range(count):
        dataset = pydicom.dcmread(files[number % len(files)])
        dataset.decompress()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        found.append(dataset)
    return found


def _rate(configuration: NodeConfiguration, images: list[pydicom.Dataset]) -> float:
    """Images a second, under new UIDs."""
    study = generate_uid()
    for dataset in images:
        dataset.StudyInstanceUID = study
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ae = AE(SCANNER)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(LOOPBACK, configuration.dicom_port, ae_title=configuration.aet)
    if not association.is_established:
        raise ConnectionError("no association")
    start = time.perf_counter()
    for dataset in images:
        if association.send_c_store(dataset).Status != 0:
            raise ConnectionError("not stored")
    seconds = time.perf_counter() - start
    association.release()
    return len(images) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    images = _images(arguments.images)
    rates: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for name in rates:
            configuration = write_configuration(
                Path(folder) / name,
                http_port=free_port(),
                dicom_port=free_port(),
                modalities={"scanner": Modality(SCANNER, free_port())},
            )
            if name == "without":
                file = configuration.folder / "orthanc.json"
                content = json.loads(file.read_text())
                del content["PythonScript"], content["GlioLoop"]
                content["Plugins"] = [one for one in content["Plugins"] if "Python" not in one]
                file.write_text(json.dumps(content))
            running[name] = OrthancProcess(configuration).start()
        time.sleep(15)  # the worker's imports
        for number in range(arguments.rounds + 1):
            for name in sorted(running, reverse=number % 2 == 0):
                rate = _rate(running[name].configuration, images)
                if number:  # the first round warms up
                    rates[name].append(rate)
        for process in running.values():
            process.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["with"] / medians["without"]
    print(json.dumps({"images": len(images), "rates": rates, "median": medians, "ratio": round(ratio, 3)}, indent=1))


if __name__ == "__main__":
    main()
