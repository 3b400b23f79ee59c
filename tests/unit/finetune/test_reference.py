"""The reference set that ships: whole, and of every region."""

import numpy as np
import SimpleITK as sitk

from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.labels import OWN, scheme_of
from pipeline.names import MRSequence
from pipeline.settings import ROOT


def test_the_shipped_reference_set_is_whole() -> None:
    cases = find_cases(ROOT / "samples" / "reference")
    assert len(cases) == 6
    volumes_ml = []
    for case in cases:
        images, labels = case.read_images(), case.read_labels()
        assert set(images) == set(MRSequence)
        assert {image.GetSize() for image in images.values()} == {labels.GetSize()}
        regions = OWN.regions(sitk.GetArrayFromImage(labels))
        assert np.array_equal(scheme_of(case).regions(sitk.GetArrayFromImage(labels)), regions)
        volumes_ml.append([region.sum() * np.prod(labels.GetSpacing()) / 1000 for region in regions])
        inside = regions[0]
        for image in images.values():
            values = sitk.GetArrayViewFromImage(image)
            assert len(np.unique(values)) > 100, "not rounded to nothing"
            assert (values[inside] > 0).mean() > 0.99, "the tumour lies in the picture"
    assert all(whole > 1 for whole, _, _ in volumes_ml)
    # The low-grade tumour alone has no enhancing part.
    assert sum(enhancing > 0.1 for _, _, enhancing in volumes_ml) >= 4
