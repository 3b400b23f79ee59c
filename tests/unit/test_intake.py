"""What may lack: only what the site allows and the network was measured without."""

from pathlib import Path

from pipeline.intake import may_lack_of
from pipeline.names import Sequence
from pipeline.registry import Registry
from pipeline.settings import ROOT, Settings


def test_site_and_card_must_both_allow_it(tmp_path: Path) -> None:
    card = Registry(ROOT / "models", tmp_path).get("gliounet").card
    assert may_lack_of(Settings(), card) == ()
    every = (Sequence.T1, Sequence.T2, Sequence.FLAIR)
    assert may_lack_of(Settings(may_lack=every), card) == (Sequence.T1,)
    assert may_lack_of(Settings(may_lack=every), card.model_copy(update={"may_lack": ()})) == ()
