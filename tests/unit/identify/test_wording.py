"""What descriptions say of contrast, in many languages and spellings."""

import pytest

from pipeline.identify.wording import contrast_wording, normalise

NATIVE = (
    "T1 C-|T1 GD-|T1 KM-|T1 CE-|T1_C_minus|T1 C−|Ｔ１ Ｃ－|T1C-|T1 -C|t1_mprage_C-|T1 Gd(-)|T1 CE (-)|"
    "T1_se_tra_C-_p2|T1(C-)|T1 sem contraste|T1 sin contraste|T1 ohne KM|T1 nativ|T1 senza mdc|"
    "T1 sans injection|T1 zonder contrast|T1 S/C|T1 s/ contraste|T1 o. KM|t1 bez kontrastu|T1 fără contrast|"
    "T1 kontrast nélkül|Kontrastsız T1|T1 utan kontrast|ilman tehostetta T1|T1 uden kontrast|T1 без контраста|"
    "T1 без КУ|T1 до контраста|T1 πριν σκιαγραφικο|造影前T1|T1造影前|造影なし T1|T1 平扫|조영 전 T1|비조영 T1|"
    "non-contrast T1|T1 pre Gd|T1 w/o contrast|T1 w/o|T1 non enhanced|T1 unenhanced|T1 precontrast|"
    "3D T1 avant injection|T1 vor KM-Gabe|AX T1 NO GAD|T1 antes de contraste|T1 prima del mdc|T1 basale|"
    "T1 without IV contrast|T1 przed kontrastem|T1 pred k.l.|T1 Gd neg|MPRAGE_pre|T1 antes do contraste|"
    "T1 s.m.d.c.|T1 smdc|T1 İVKM'siz|T1 без введения контраста|T1 до введения КВ|T1 før kontrast|T1 무조영|"
    "T1 ZONDER CM|T1 sans PDC|T1 preinyección|T1 natywne|T1 diretta|T1 sans injection de PDC|T1 bez podání k.l."
)
ENHANCED = (
    "T1 +C|T1 C+|T1+C|T1 +IV|T1 C plus|MPRAGE+Gd|T1 post|T1 après injection|T1 m. KM|T1 post gad|T1 nach KM|"
    "T1 mit Kontrastmittel|T1 con contraste|T1 com contraste|T1 C/C|T1 dopo mdc|T1 na contrast|"
    "T1 po kontraście|T1 po k.l.|T1 kontraszt után|Kontrastlı T1|T1 efter kontrast|T1 tehosteen jälkeen|"
    "T1 cu contrast|T1 с контрастом|T1 после КУ|T1 μετά σκιαγραφικό|T1造影後|造影後T1|T1 增强|조영 후 T1|"
    "T1 조영증강|T1 pós-contraste|POST-CONTRAST T1|T1 post-op +C|T1 Gd|t1gd|T1C|T1CE|T1 KM|T1 Gd-DTPA|"
    "T1 contrast-enhanced|T1 after contrast|postGd T1|T1 c.m.d.c.|T1 cmdc|"
    "T1 MET CM|T1 apres PDC|T1 после введения контраста|T1 med kontrast|T1 İVKM'li|T1 após o contraste"
)
NOTHING = (
    "T1 SE AX|T1 pre op|T1 post-op|T1 post RT|MPRAGE with and without contrast|T1 +/- C|"
    "T1 pre and post contrast|C spine T1|T1 posterior fossa|T1 pre-sat|T1-weighted|T1 W/WO CONTRAST|"
    "T1 mit und ohne KM|T1 post processed|T1 w/o FS"
)


def reading(description: str) -> str:
    said = contrast_wording(normalise(description))
    return {(True, False): "enhanced", (False, True): "native"}.get((bool(said.enhanced), bool(said.native)), "nothing")


@pytest.mark.parametrize(
    ("meaning", "descriptions"), [("native", NATIVE), ("enhanced", ENHANCED), ("nothing", NOTHING)]
)
def test_a_sign_or_negation_belongs_to_its_agent(meaning: str, descriptions: str) -> None:
    wrong = {one: found for one in descriptions.split("|") if (found := reading(one)) != meaning}
    assert not wrong


def test_a_word_that_nothing_is_bound_to_is_weak() -> None:
    strong = {
        one: contrast_wording(normalise(one)).strong for one in ("T1 Gd", "T1 post", "T1C", "T1 post Gd", "T1 C-")
    }
    assert strong == {"T1 Gd": False, "T1 post": False, "T1C": False, "T1 post Gd": True, "T1 C-": True}


def test_letters_of_every_script_stay() -> None:
    assert normalise("T1強調_造影後") == "t1 強調 造影後"
    assert normalise("Т1 ВИ после КУ") == "t1 ви после ку"
    assert normalise("Ｔ２　ＦＬＡＩＲ") == "t2 flair"
